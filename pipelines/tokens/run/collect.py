"""Results of the second phase to rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.table.schema import Identity, QuarantineRow, StemsRow, TokenRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.choose import dropped_row
from pipelines.tokens.choose.table_state import Facts
from pipelines.tokens.choose.vocal_rule import SCORE
from pipelines.tokens.run.report import ReportBuilder
from pipelines.tokens.run.reuse_codes import earlier_codes
from pipelines.tokens.run.writer import Writer
from pipelines.tokens.songs.reasons import (
    BROKEN_STEMS,
    CRASHED,
    FAILED,
    MISSING,
    MODELS_FAIL,
    NOT_WRITTEN,
    PASSED_OVER,
)
from pipelines.tokens.songs.work import Work

MOST_SUSPECTS = 8

_REPAIR = "`stems prepare --keep-stems FOLDER`, with the song's catalog, makes and keeps them again."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What all songs of a run share, and what is known of each.

    Args:
        identity: of the run.
        layout: stems in stream order.
        cardinality: codes in a codebook.
        facts: by song.
        splits: train or valid, by song.
        stems: kept stems, by song and separator.
        rate: of the codecs, in Hz.
    """

    identity: Identity
    layout: StemLayout
    cardinality: int
    facts: Mapping[str, Facts]
    splits: Mapping[str, str]
    stems: Mapping[tuple[str, str], StemsRow]
    rate: int


class Collector:
    """Takes results in any order and hands rows to the writer.

    Args:
        table: for codes that a song has already.
        plan: of the run.
        works: all that is to be done, by song.
        writer: takes the rows.
        report: takes the figures.
        separates: whether songs whose kept stems are damaged can be made from their files again.

    Attributes:
        completed: songs that kept some streams that they had.
    """

    def __init__(
        self,
        table: TokenTable,
        plan: Plan,
        works: Mapping[str, Work],
        writer: Writer,
        report: ReportBuilder,
        separates: bool = False,
    ) -> None:
        self._separates, self._again, self._damage = separates, dict[str, Work](), ""
        self._table, self._plan, self._writer, self._report = table, plan, writer, report
        self._todo = dict(works)
        self._suspects: list[QuarantineRow] = []
        self._partial: list[tuple[Work, TokenRow]] = []
        self._models_work = False
        self.completed = 0

    def take(self, row: Mapping[str, Any]) -> bool:
        """Take one row of :data:`pipelines.tokens.encode.actor.TOKENIZED`; commits when it is time.

        Returns:
            Whether the song is done; if not, it is among those that :meth:`again` gives.

        Raises:
            StemsError: the models are at fault, stems cannot be written, or too many files are bad.
        """
        if row["reason"] == NOT_WRITTEN:
            raise StemsError(row["message"], "What was done is in the table.", code=NOT_WRITTEN, field="keep_stems")
        check_models(row)
        work = self._todo.pop(row["song_id"])
        if row["reason"] == BROKEN_STEMS and self._separates:
            self._damage = self._damage or _damaged(work, row)
            self._again[work.song_id] = replace(work, folder="", repair=work.folder)
            return False
        self._note(work, row)
        # What is missing now was there when it was looked at.
        if row["reason"] in PASSED_OVER or row["reason"] == MISSING:
            lost = row["reason"] == BROKEN_STEMS
            said = f"{_damaged(work, row)} {_REPAIR}" if lost else row["message"]
            self._writer.pass_over(row["reason"])
            self._report.problem(work.entry.uri, row["reason"], said)
        elif row["reason"]:
            self._fail(self._quarantine_row(work, row["reason"], row["message"]))
        else:
            self._models_work = True
            self._clear_suspects()
            self._keep(work, row)
        return True

    def again(self) -> dict[str, Work]:
        """Songs that are to be made from their files, since their kept stems are damaged; each is given once."""
        found, self._again = self._again, {}
        if found:
            log.warning("%s Stems of %d songs are made again, from the songs' files.", self._damage, len(found))
        self._todo |= found
        return found

    def rescue(self) -> None:
        """Write what is done, where the job has to stop before its end."""
        self._complete()
        self._writer.write()

    def finish(self) -> None:
        """Write all that is left; songs without a result have crashed their worker.

        Raises:
            StemsError: not one song went well, and the models are at fault, or too many files are.
        """
        if len(self._suspects) > 1 and not self._models_work:
            raise self._models_fail()
        for work in self._todo.values():
            message = f"'{work.entry.uri}' crashed its worker or filled the memory, each time it was tried."
            self._writer.add(self._quarantine_row(work, CRASHED, message))
            self._report.problem(work.entry.uri, CRASHED, message)
        self._clear_suspects()
        self._complete()
        self._writer.commit()

    def _keep(self, work: Work, row: Mapping[str, Any]) -> None:
        facts = self._plan.facts[work.song_id]
        if row["sung"]:
            self._writer.add(dropped_row(work.entry, facts, work.separator, row["vocal_score"], SCORE))
            self._report.dropped(SCORE)
            return
        kept = self._plan.stems.get((work.song_id, work.separator)) if work.folder or work.repair else None
        stems = kept or self._stems_row(work, row)
        if row["folder"] and not kept:
            self._writer.add(stems)
        tokens = self._token_row(work, row, facts, stems)
        if len(work.encode) == len(self._plan.layout.names):
            self._writer.add(tokens)
            return
        self._partial.append((work, tokens))
        if len(self._partial) >= self._writer.commit_songs:
            self._complete()

    def _complete(self) -> None:
        """Add the streams that songs have already to those that were made."""
        partial, self._partial = self._partial, []
        layout, wanted = self._plan.layout, self._plan.identity.codecs
        for row in earlier_codes(self._table, layout, wanted, partial):
            self._writer.add(row)
            self.completed += 1

    def _fail(self, row: QuarantineRow) -> None:
        self._report.problem(row.uri, row.reason, row.message)
        if not row.reason.startswith(FAILED):
            self._writer.add(row)
            return
        # Songs that fail one after the other: after a few it is the models or the machine, and no song is to blame.
        self._suspects.append(row)
        if len(self._suspects) >= MOST_SUSPECTS:
            raise self._models_fail()

    def _models_fail(self) -> StemsError:
        count, last = len(self._suspects), self._suspects[-1]
        self._suspects = []
        return StemsError(
            f"The models failed on {count} songs, one after the other; the last: {last.reason}, {last.message}",
            "Check the separator, the codecs, and the workers' disks; none of these songs was put in quarantine.",
            code=MODELS_FAIL,
            field="separator",
        )

    def _clear_suspects(self) -> None:
        """A song went well, or all are done: the failures before it were the songs' own."""
        for row in self._suspects:
            self._writer.add(row)
        self._suspects = []

    def _note(self, work: Work, row: Mapping[str, Any]) -> None:
        took: dict[str, float] = json.loads(row["took"])
        for stage, seconds in took.items():
            self._report.stage(stage, 1, work.seconds, seconds)
        self._report.song(work.entry.title, work.entry.uri, work.seconds, sum(took.values()), took)
        if row["vocal_score"] is not None and not work.folder:
            self._report.value("vocal_score", row["vocal_score"])

    def _quarantine_row(self, work: Work, reason: str, message: str) -> QuarantineRow:
        identity = self._plan.identity
        return QuarantineRow(
            uri=work.entry.uri,
            fingerprint=work.entry.fingerprint,
            reason=reason,
            message=message,
            song_id=work.song_id,
            separator=identity.separator,
            codecs=identity.codecs,
            limits=identity.limits,
        )

    def _stems_row(self, work: Work, row: Mapping[str, Any]) -> StemsRow:
        return StemsRow(
            song_id=work.song_id,
            separator=work.separator,
            folder=row["folder"],
            stems=self._plan.layout.names,
            rate=self._plan.rate,
            seconds=work.seconds,
            vocal_score=row["vocal_score"],
            stem_loudness=tuple(row["stem_loudness"]),
            residual_db=row["residual_db"],
        )

    def _token_row(self, work: Work, row: Mapping[str, Any], facts: Facts, stems: StemsRow) -> TokenRow:
        entry, plan = work.entry, self._plan
        by_stem = dict(zip(stems.stems, stems.stem_loudness, strict=True))
        self._report.value("residual_db", stems.residual_db)
        return TokenRow(
            song_id=work.song_id,
            uri=entry.uri,
            fingerprint=entry.fingerprint,
            title=entry.title,
            caption=entry.caption,
            tags=entry.tags,
            seconds=facts.seconds,
            source_rate=facts.source_rate,
            source_channels=facts.source_channels,
            frame_rate=row["frame_rate"],
            codes=np.frombuffer(row["codes"], np.int16).reshape(-1, row["frames"]),
            cardinality=plan.cardinality,
            layout=str(plan.layout),
            separator=work.separator,
            codecs=plan.identity.codecs,
            loudness=facts.loudness,
            clipped=facts.clipped,
            silence=facts.silence,
            vocal_score=stems.vocal_score,
            stem_loudness=tuple(by_stem[name] for name in plan.layout.names),
            residual_db=stems.residual_db,
            split=plan.splits[work.song_id],
        )


def _damaged(work: Work, row: Mapping[str, Any]) -> str:
    return f"The kept stems in '{work.folder}' are gone or damaged ({row['message'].rstrip('.')})."


def check_models(row: Mapping[str, Any]) -> None:
    """StemsError where a row of :data:`pipelines.tokens.encode.actor.TOKENIZED` says that the models are at fault."""
    if row["reason"] == MODELS_FAIL:
        raise StemsError(
            f"The models cannot be loaded. {row['message']}",
            "What was done so far is in the table.",
            code=MODELS_FAIL,
            field="separator",
        )
