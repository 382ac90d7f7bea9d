"""Turn results of the second phase into rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.errors import StemsError
from pipelines.table.schema import Identity, QuarantineRow, StemsRow, TokenRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.decision import dropped_row
from pipelines.tokens.choose.table_state import FileFacts
from pipelines.tokens.encode.results import Failed, MadeStems, SongResult, Sung, Tokenized, result_from_row
from pipelines.tokens.resolve import ResolvedRun
from pipelines.tokens.run.report_builder import ReportBuilder
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
class RunContext:
    """What all songs of a run share, and what is known of each.

    Args:
        resolved: the job.
        identity: by which this run's failures are kept in the quarantine.
        facts: measurements of each song's file, by song.
        splits: train or valid, by song.
        stems: kept stems, by song and separator.
    """

    resolved: ResolvedRun
    identity: Identity
    facts: Mapping[str, FileFacts]
    splits: Mapping[str, str]
    stems: Mapping[tuple[str, str], StemsRow]


class Collector:
    """Takes results in any order and hands rows to the writer.

    Args:
        table: for codes that songs have already.
        context: of the run.
        works: all songs to tokenize, by song.
        writer: takes the rows.
        report: takes the figures.

    Attributes:
        completed: songs that kept some of the streams that they had.
    """

    def __init__(
        self,
        table: TokenTable,
        context: RunContext,
        works: Mapping[str, Work],
        writer: Writer,
        report: ReportBuilder,
    ) -> None:
        self._again, self._damage = dict[str, Work](), ""
        self._table, self._context, self._writer, self._report = table, context, writer, report
        self._separates = bool(context.resolved.separator)
        self._todo = dict(works)
        self._suspects: list[QuarantineRow] = []
        self._partial: list[tuple[Work, TokenRow]] = []
        self._models_work = False
        self.completed = 0

    def take(self, row: Mapping[str, Any]) -> bool:
        """Take one row of :data:`pipelines.tokens.encode.results.TOKENIZED`; commit if it is time.

        Returns:
            Whether the song is done; if not, :meth:`again` gives it once more.

        Raises:
            StemsError: the models are at fault, stems cannot be written, or too many files are bad.
        """
        result = result_from_row(row)
        if isinstance(result, Failed) and result.reason == NOT_WRITTEN:
            raise StemsError(result.message, "Finished songs are in the table.", code=NOT_WRITTEN, field="keep_stems")
        check_models(row)
        work = self._todo.pop(row["song_id"])
        if isinstance(result, Failed) and result.reason == BROKEN_STEMS and self._separates:
            self._damage = self._damage or _damaged(work, result)
            self._again[work.song_id] = replace(work, folder="", repair=work.folder)
            return False
        self._note(work, result)
        match result:
            case Failed():
                self._fail(work, result)
            case Sung():
                self._song_went_well()
                facts = self._context.facts[work.song_id]
                row_of_it = dropped_row(work.entry, facts, work.separator, result.vocal_score, result.decided_by)
                self._writer.add(row_of_it)
                self._report.dropped(result.decided_by)
            case Tokenized():
                self._song_went_well()
                self._keep(work, result)
        return True

    def again(self) -> dict[str, Work]:
        """Songs to make from their files, since their kept stems are damaged; each is returned once."""
        found, self._again = self._again, {}
        if found:
            log.warning("%s Stems of %d songs are made again, from the songs' files.", self._damage, len(found))
        self._todo |= found
        return found

    def rescue(self) -> None:
        """Write what is done when the job has to stop before its end."""
        self._complete()
        self._writer.flush()

    def finish(self) -> None:
        """Write what is left; songs without a result have crashed their worker.

        Raises:
            StemsError: none of several songs went well, so the models are at fault; or too many files are bad.
        """
        if len(self._suspects) > 1 and not self._models_work:
            raise self._models_fail()
        for work in self._todo.values():
            message = f"'{work.entry.uri}' crashed its worker or filled the memory, each time it was tried."
            self._writer.add(self._quarantine_row(work, CRASHED, message))
            self._report.problem(work.entry.uri, CRASHED, message)
        self._clear_suspects()
        self._complete()
        self._writer.flush_and_check()

    def _song_went_well(self) -> None:
        self._models_work = True
        self._clear_suspects()

    def _keep(self, work: Work, result: Tokenized) -> None:
        kept = self._context.stems.get((work.song_id, work.separator)) if work.folder or work.repair else None
        stems = kept or self._stems_row(work, result.made)
        if result.made and result.made.folder and not kept:
            self._writer.add(stems)
        tokens = self._token_row(work, result, stems)
        if len(work.encode) == len(self._context.resolved.layout.names):
            self._writer.add(tokens)
            return
        self._partial.append((work, tokens))
        if len(self._partial) >= self._writer.commit_songs:
            self._complete()

    def _complete(self) -> None:
        """Add the streams that songs have already to the new ones."""
        partial, self._partial = self._partial, []
        resolved = self._context.resolved
        for row in earlier_codes(self._table, resolved.layout, resolved.identity.codecs, partial):
            self._writer.add(row)
            self.completed += 1

    def _fail(self, work: Work, failed: Failed) -> None:
        # A file that is missing now was there when it was inspected.
        if failed.reason in PASSED_OVER or failed.reason == MISSING:
            lost = failed.reason == BROKEN_STEMS
            said = f"{_damaged(work, failed)} {_REPAIR}" if lost else failed.message
            self._writer.pass_over(failed.reason)
            self._report.problem(work.entry.uri, failed.reason, said)
            return
        self._report.problem(work.entry.uri, failed.reason, failed.message)
        row = self._quarantine_row(work, failed.reason, failed.message)
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

    def _note(self, work: Work, result: SongResult) -> None:
        for stage, seconds in result.took.items():
            self._report.stage(stage, 1, work.seconds, seconds)
        took = sum(result.took.values())
        self._report.song(work.entry.title, work.entry.uri, work.seconds, took, result.took)
        match result:
            case Sung(vocal_score=score) | Tokenized(made=MadeStems(vocal_score=score)):
                self._report.value("vocal_score", score)

    def _quarantine_row(self, work: Work, reason: str, message: str) -> QuarantineRow:
        return QuarantineRow(
            uri=work.entry.uri,
            fingerprint=work.entry.fingerprint,
            reason=reason,
            message=message,
            song_id=work.song_id,
            **vars(self._context.identity),
        )

    def _stems_row(self, work: Work, made: MadeStems | None) -> StemsRow:
        assert made is not None, "stems that the table does not have were made in this run"
        return StemsRow(
            song_id=work.song_id,
            separator=work.separator,
            folder=made.folder,
            stems=self._context.resolved.layout.names,
            rate=self._context.resolved.sample_rate,
            seconds=work.seconds,
            vocal_score=made.vocal_score,
            stem_loudness=made.stem_loudness,
            residual_db=made.residual_db,
        )

    def _token_row(self, work: Work, result: Tokenized, stems: StemsRow) -> TokenRow:
        entry, resolved, facts = work.entry, self._context.resolved, self._context.facts[work.song_id]
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
            frame_rate=result.frame_rate,
            codes=result.codes,
            cardinality=resolved.cardinality,
            layout=str(resolved.layout),
            separator=work.separator,
            codecs=resolved.identity.codecs,
            loudness=facts.loudness,
            clipped=facts.clipped,
            silence=facts.silence,
            vocal_score=stems.vocal_score,
            stem_loudness=tuple(by_stem[name] for name in resolved.layout.names),
            residual_db=stems.residual_db,
            split=self._context.splits[work.song_id],
        )


def _damaged(work: Work, failed: Failed) -> str:
    return f"The kept stems in '{work.folder}' are gone or damaged ({failed.message.rstrip('.')})."


def check_models(row: Mapping[str, Any]) -> None:
    """Raise a StemsError if a row of :data:`pipelines.tokens.encode.results.TOKENIZED` says that the models fail."""
    if row["reason"] == MODELS_FAIL:
        raise StemsError(
            f"The models cannot be loaded. {row['message']}",
            "Finished songs are in the table.",
            code=MODELS_FAIL,
            field="separator",
        )
