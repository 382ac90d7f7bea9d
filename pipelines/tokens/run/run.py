"""One run of a job on the token table: its two phases on the cluster, what it writes, and its report."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from cluster.connect import connect
from cluster.nodes import read_shapes
from cluster.watch import LostNodes, watch
from models.errors import StemsError
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.storage.files import is_remote
from pipelines.table.schema import Identity
from pipelines.table.splits import SUNG, TRAIN, VALID, splits
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.decision import Choice
from pipelines.tokens.choose.table_state import FileFacts, TableState
from pipelines.tokens.encode.actor import fetch_files
from pipelines.tokens.encode.tokenize import TokenizerSettings
from pipelines.tokens.resolve import ResolvedRun
from pipelines.tokens.run.collect import Collector, RunContext, check_models
from pipelines.tokens.run.error_rate import ErrorRate
from pipelines.tokens.run.progress import Progress, logged
from pipelines.tokens.run.ray_data import read_stream, run_with_retries, tokenizing, wants
from pipelines.tokens.run.report import PrepareReport
from pipelines.tokens.run.report_builder import ReportBuilder
from pipelines.tokens.run.report_files import new_name, save
from pipelines.tokens.run.survey import Survey
from pipelines.tokens.run.workers import Workers, plan_workers
from pipelines.tokens.run.writer import Writer
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED
from pipelines.tokens.songs.work import Work, work_to_json

log = logging.getLogger(__name__)


class Run:
    """What a run does, as a context: its report is saved at the end, also when too many files were bad.

    Args:
        resolved: the job.

    Attributes:
        table: where everything is written.
    """

    def __init__(self, resolved: ResolvedRun) -> None:
        self.table = TokenTable(resolved.table)
        self._resolved, self._job, self._started = resolved, resolved.job, time.monotonic()
        self._songs = self._removed = self._retokenized = self._reworded = self._cleared = 0
        self._writer, self._builder = Writer(self.table, resolved.job), ReportBuilder()
        self._progress = Progress()
        self._workers: Workers | None = None
        self._name = new_name()
        self._log = logged(None if is_remote(resolved.report) else Path(resolved.report) / f"{self._name}.log")

    def __enter__(self) -> Run:
        self._log.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._progress.stop()
        if isinstance(error, StemsError) and error.code == "too_many_errors":
            try:
                self.report()
            except StemsError as lost:
                log.warning("There is no report: %s", lost)
        self._log.__exit__(None, None, None)

    def begin(self, songs: int, removed: int = 0) -> None:
        """Note how many files the job is about, and how many of them are of songs that were taken down."""
        self._songs, self._removed = songs, removed

    def apply(self, choice: Choice) -> None:
        """Carry out what needs no model."""
        self.table.readmit(choice.readmitted)
        if choice.pardoned:
            self.table.pardon(choice.pardoned)
        for row in choice.dropped:
            self._builder.dropped(row.decided_by)
            self._writer.add(row)
        for aside in choice.quarantine:
            self._builder.problem(aside.uri, aside.reason, aside.message)
            self._writer.add(aside)
        self._writer.flush_and_check()
        back = self._splits([song for song, _ in choice.unsung])
        splits = {(song, separator): back[song] for song, separator in choice.unsung}
        self.table.revise_songs(choice.rewording.tokens, splits | dict.fromkeys(choice.sung, SUNG))
        self.table.revise_dropped(choice.rewording.dropped)
        # Last: the stored entries show which words a file has lost.
        self.table.revise_catalog(choice.rewording.entries)
        self._reworded += len(choice.rewording.songs)

    def note_lost_files(self, gone: Sequence[str], replaced: Sequence[str], outdated: Collection[str]) -> None:
        """Report files that are gone or replaced, and drop quarantine rows (by fingerprint) of such files."""
        self._builder.lost(gone, replaced)
        if outdated:
            self._cleared += self.table.pardon(outdated)

    def check_errors(self, quarantined: Collection[str] = ()) -> None:
        """Refuse a catalog of which too many files are bad, or all of them, however few they are.

        Args:
            quarantined: reasons of its files that an earlier run quarantined.

        Raises:
            StemsError: ``too_many_errors``.
        """
        reasons = self._writer.reasons + Counter(quarantined)
        files = self._songs - self._removed - reasons[REMOVED]
        ErrorRate(self._job.max_error_rate).check_all(files, reasons, self._builder.first_fault)

    def survey(self, entries: Sequence[CatalogEntry], state: TableState) -> dict[str, FileFacts]:
        """The first phase; measurements by fingerprint. Without entries, nothing is started."""
        if not entries:
            return {}
        workers = self._room(self._resolved.limits.max_seconds)
        advance = self._progress.stage("inspect", len(entries))
        survey = Survey(self._resolved, state.removed_songs, self._writer, self._builder)
        return survey.run(entries, workers, advance)

    def tokenize(
        self, works: Sequence[Work], facts: Mapping[str, FileFacts], state: TableState, identity: Identity
    ) -> None:
        """The second phase. Without works, nothing is started.

        Args:
            works: songs to tokenize.
            facts: measurements of their files, by fingerprint.
            state: of the table.
            identity: of the run; of a job on kept stems, with the separator of these works.
        """
        if not works:
            return
        longest = max(work.seconds for work in works)
        workers = self._room(longest)
        todo = {work.song_id: work for work in works}
        context = RunContext(
            resolved=self._resolved,
            identity=identity,
            facts={work.song_id: facts[work.entry.fingerprint] for work in works},
            splits=self._splits(list(todo)),
            stems=state.stems,
        )
        collector = Collector(self.table, context, todo, self._writer, self._builder)
        advance = self._progress.stage("tokenize", len(works))
        try:
            stream = partial(self._stream, tokenizer_settings(self._resolved, longest), workers)
            with watch(wants(workers)):
                while todo:
                    lines = {song: work_to_json(work) for song, work in todo.items()}
                    for song, row in run_with_retries(lines, stream, self._job.songs_per_batch, LostNodes()):
                        if collector.take(row):
                            advance(todo[song].seconds)
                    todo = collector.again()
        except (StemsError, KeyboardInterrupt):
            try:
                collector.rescue()
            except StemsError as error:  # for example where stems and table lie on one full disk
                log.warning("What was done since the last commit is lost: %s", error)
            raise
        collector.finish()
        self._retokenized += collector.completed

    def report(self) -> PrepareReport:
        """What the run did; saved beside the table if it did anything."""
        written, reasons = self._writer.written, dict(self._writer.reasons)
        duplicates = reasons.pop(DUPLICATE, 0)
        new = written["tokens"] + written["dropped"] + duplicates + sum(reasons.values())
        report = self._builder.build(
            songs=self._songs,
            already_there=self._songs - self._removed - new,
            tokenized=written["tokens"],
            vocals=written["dropped"],
            duplicates=duplicates,
            quarantined=reasons,
            removed=self._removed,
            retokenized=self._retokenized,
            words_updated=self._reworded,
            cleared=self._cleared,
            hours=self._writer.hours,
            seconds=time.monotonic() - self._started,
            versions=self.table.versions(),
            settings={name: str(value) for name, value in self._job.model_dump().items()},
            workers=str(self._workers or "none"),
        )
        if new or self._reworded or self._cleared:
            save(report, self._resolved.report, self._name)
        return report

    def _stream(
        self, settings: TokenizerSettings, workers: Workers, lines: list[str], block: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        resolved = self._resolved
        fetch = partial(fetch_files, allow_hosts=resolved.allow_hosts, max_bytes=resolved.limits.max_bytes)
        for row in read_stream(tokenizing(fetch, settings, workers), "line", lines, block):
            check_models(row)  # a probe's row as well
            yield row["song_id"], row

    def _room(self, longest: float) -> Workers:
        connect()
        self._workers = plan_workers(self._job, longest, read_shapes())
        return self._workers

    def _splits(self, songs: Sequence[str]) -> dict[str, str]:
        """Train or valid for each song: as its near-duplicates, or as stored if it has tokens already."""
        if not songs:
            return {}
        rows = self.table.catalog(["song_id", "signature"])
        signatures = dict(zip(rows["song_id"].to_pylist(), rows["signature"].to_pylist(), strict=True))
        tokens = self.table.rows(columns=["song_id", "split"])
        known = zip(tokens["song_id"].to_pylist(), tokens["split"].to_pylist(), strict=True)
        stored = {song: split for song, split in known if split in (TRAIN, VALID)}
        found = splits(signatures, stored, self._job.valid_share)
        return {song: found[song] for song in songs}


def tokenizer_settings(resolved: ResolvedRun, longest: float) -> TokenizerSettings:
    """The workers' settings.

    Args:
        resolved: the job.
        longest: seconds of the longest song.
    """
    return TokenizerSettings(
        separator=resolved.separator,
        codecs=resolved.codecs,
        layout=resolved.layout,
        rule=resolved.rule,
        limits=resolved.limits,
        group_seconds=resolved.limits.max_seconds if resolved.separator else longest,
        keep_stems=resolved.keep_stems,
        device="cuda" if resolved.job.gpus_per_actor else "cpu",
        threads=resolved.job.threads,
    )
