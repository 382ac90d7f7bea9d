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
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.storage.files import is_remote
from pipelines.table.schema import Identity
from pipelines.table.splits import SUNG, TRAIN, VALID, splits
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.choose import Choice
from pipelines.tokens.choose.gone import Coverage, gone_and_replaced, no_longer_aside
from pipelines.tokens.choose.table_state import FileFacts, TableState
from pipelines.tokens.config import PrepareConfig, TableJob
from pipelines.tokens.encode.actor import fetch_files
from pipelines.tokens.encode.tokenize import TokenizerSettings
from pipelines.tokens.paths import check_outputs, model_place, place
from pipelines.tokens.resolve import codec_kind, limits_of, vocal_rule
from pipelines.tokens.run.collect import Collector, Plan, check_models
from pipelines.tokens.run.progress import Progress, logged
from pipelines.tokens.run.ray_data import read_stream, run_with_retries, tokenizing, wants
from pipelines.tokens.run.report import PrepareReport, ReportBuilder, new_name, save
from pipelines.tokens.run.survey import survey
from pipelines.tokens.run.workers import Workers, plan_workers
from pipelines.tokens.run.writer import Writer, bad_files, too_many_errors
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED
from pipelines.tokens.songs.work import Work, work_to_json

log = logging.getLogger(__name__)


class Run:
    """What a run does, as a context: its report is saved at the end, also when too many files were bad.

    Args:
        config: of the job.

    Attributes:
        table: where everything goes.
        songs: files that the job is about.
        removed: of them, those of songs that were taken down.
    """

    def __init__(self, config: TableJob) -> None:
        check_outputs(config)
        self.table = TokenTable(place(config.table))
        self.songs = self.removed = self._retokenized = self._reworded = self._cleared = 0
        self._config, self._started = config, time.monotonic()
        self._writer, self._builder = Writer(self.table, config), ReportBuilder()
        self._progress = Progress()
        self._workers: Workers | None = None
        self._folder, self._name = place(config.report) or f"{self.table.root}/reports", new_name()
        self._log = logged(None if is_remote(self._folder) else Path(self._folder) / f"{self._name}.log")

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

    def apply(self, choice: Choice) -> None:
        """Write down what is decided without any model."""
        self.table.readmit(choice.readmitted)
        if choice.pardoned:
            self.table.pardon(choice.pardoned)
        for row in choice.dropped:
            self._builder.dropped(row.decided_by)
            self._writer.add(row)
        for aside in choice.quarantine:
            self._builder.problem(aside.uri, aside.reason, aside.message)
            self._writer.add(aside)
        self._writer.commit()
        back = self._splits([song for song, _ in choice.unsung])
        splits = {(song, separator): back[song] for song, separator in choice.unsung}
        self.table.revise_songs(choice.words, splits | dict.fromkeys(choice.sung, SUNG))
        self.table.revise_dropped(choice.redropped)
        # Last: by it, the words that a file has lost are known.
        self.table.revise_catalog(choice.entries)
        self._reworded += len(choice.reworded)

    def look_around(
        self, entries: Sequence[CatalogEntry], covered: Coverage, known: TableState, facts: Mapping[str, FileFacts]
    ) -> None:
        """Name the files that are gone or replaced, and drop what the quarantine says of such files."""
        gone, replaced = gone_and_replaced(covered, entries, known, facts)
        self._builder.lost(gone, replaced)
        if left := no_longer_aside(covered, entries, known):
            self._cleared += self.table.pardon(left)

    def check_errors(self, quarantined: Collection[str] = ()) -> None:
        """Refuse a catalog of which too many files are no songs, or all of them, however few they are.

        Args:
            quarantined: reasons of its files that were in quarantine before.

        Raises:
            StemsError: ``too_many_errors``.
        """
        bad = bad_files(self._writer.reasons) + bad_files(Counter(quarantined))
        taken_down = self._writer.reasons[REMOVED] + Counter(quarantined)[REMOVED]
        files = self.songs - self.removed - taken_down
        if bad > self._config.max_error_rate * files or (bad and bad == files):
            raise too_many_errors(bad, files, self._config.max_error_rate, self._builder.first_fault)

    def survey(
        self, entries: Sequence[CatalogEntry], limits: SongLimits, allow_hosts: Sequence[str], known: TableState
    ) -> dict[str, FileFacts]:
        """The first phase; facts by fingerprint. Nothing is started where there is nothing to do."""
        if not entries:
            return {}
        workers = self._room(limits.max_seconds)
        advance = self._progress.stage("inspect", len(entries))
        return survey(
            entries, limits, allow_hosts, known.removed_songs, workers, self._writer, self._builder, advance
        )

    def tokenize(
        self,
        works: Sequence[Work],
        identity: Identity,
        layout: StemLayout,
        facts: Mapping[str, FileFacts],
        known: TableState,
    ) -> None:
        """The second phase. Nothing is started where there is nothing to do."""
        if not works:
            return
        workers = self._room(max(work.seconds for work in works))
        todo = {work.song_id: work for work in works}
        rate, cardinality = codec_kind(self._config, layout)
        plan = Plan(
            identity=identity,
            layout=layout,
            cardinality=cardinality,
            facts={work.song_id: facts[work.entry.fingerprint] for work in works},
            splits=self._splits(list(todo)),
            stems=known.stems,
            rate=rate,
        )
        separates = isinstance(self._config, PrepareConfig)
        collector = Collector(self.table, plan, todo, self._writer, self._builder, separates)
        advance = self._progress.stage("tokenize", len(works))
        settings = tokenizer_settings(self._config, layout, max(work.seconds for work in works))
        try:
            stream = partial(self._stream, settings, workers)
            with watch(wants(workers)):
                while todo:
                    lines = {song: work_to_json(work) for song, work in todo.items()}
                    for song, row in run_with_retries(lines, stream, self._config.songs_per_batch, LostNodes()):
                        if collector.take(row):
                            advance(todo[song].seconds)
                    todo = collector.again()
        except (StemsError, KeyboardInterrupt):
            try:
                collector.rescue()
            except StemsError as error:  # as where both lie on one disk
                log.warning("What was done since the last commit is lost: %s", error)
            raise
        collector.finish()
        self._retokenized += collector.completed

    def report(self) -> PrepareReport:
        """What the run did; saved beside the table where it did anything."""
        written, reasons = self._writer.written, dict(self._writer.reasons)
        duplicates = reasons.pop(DUPLICATE, 0)
        new = written["tokens"] + written["dropped"] + duplicates + sum(reasons.values())
        report = self._builder.build(
            songs=self.songs,
            already_there=self.songs - self.removed - new,
            tokenized=written["tokens"],
            vocals=written["dropped"],
            duplicates=duplicates,
            quarantined=reasons,
            removed=self.removed,
            retokenized=self._retokenized,
            words_updated=self._reworded,
            cleared=self._cleared,
            hours=self._writer.hours,
            seconds=time.monotonic() - self._started,
            versions=self.table.versions(),
            settings={name: str(value) for name, value in self._config.model_dump().items()},
            workers=str(self._workers or "none"),
        )
        if new or self._reworded or self._cleared:
            save(report, self._folder, self._name)
        return report

    def _stream(
        self, settings: TokenizerSettings, workers: Workers, lines: list[str], block: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        prepare = self._config if isinstance(self._config, PrepareConfig) else None
        fetch = partial(
            fetch_files,
            allow_hosts=tuple(prepare.allow_hosts) if prepare else (),
            max_bytes=limits_of(prepare).max_bytes if prepare else None,
        )
        for row in read_stream(tokenizing(fetch, settings, workers), "line", lines, block):
            check_models(row)  # of a probe, too
            yield row["song_id"], row

    def _room(self, longest: float) -> Workers:
        connect()
        self._workers = plan_workers(self._config, longest, read_shapes())
        return self._workers

    def _splits(self, songs: Sequence[str]) -> dict[str, str]:
        """Train or valid for each song: with its near-duplicates, and as before where it has been said."""
        if not songs:
            return {}
        rows = self.table.catalog(["song_id", "signature"])
        signatures = dict(zip(rows["song_id"].to_pylist(), rows["signature"].to_pylist(), strict=True))
        made = self.table.rows(columns=["song_id", "split"])
        said = zip(made["song_id"].to_pylist(), made["split"].to_pylist(), strict=True)
        stored = {song: split for song, split in said if split in (TRAIN, VALID)}
        found = splits(signatures, stored, self._config.valid_share)
        return {song: found[song] for song in songs}


def tokenizer_settings(config: TableJob, layout: StemLayout, longest: float) -> TokenizerSettings:
    """What workers need to know; without a separator where a job has none."""
    prepare = config if isinstance(config, PrepareConfig) else None
    limits = limits_of(prepare) if prepare else SongLimits(0.0, longest, 0.0)
    return TokenizerSettings(
        separator=model_place(prepare.separator) if prepare else "",
        codecs=model_place(config.codecs),
        layout=layout,
        vocal_threshold=vocal_rule(prepare).threshold if prepare else 1.0,
        limits=limits,
        group_seconds=limits.max_seconds,
        keep_stems=place(prepare.keep_stems) if prepare else "",
        device="cuda" if config.gpus_per_actor else "cpu",
        threads=config.threads,
    )
