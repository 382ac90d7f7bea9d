"""From a catalog to the token table: the job that joins all stages.

What the table knows already is left out before anything starts; what remains streams through Ray Data, and
its results are committed every few songs. A killed run leaves whole commits, and the next one goes on there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.catalog.folder import import_catalog
from pipelines.catalog.schema import CatalogEntry
from pipelines.tokens.collect import Collector
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.identity import identity_of, layout_of, vocal_threshold
from pipelines.tokens.inspect import Limits, entry_to_json
from pipelines.tokens.report import PrepareReport
from pipelines.tokens.schema import Identity
from pipelines.tokens.table import TokenTable

CRASHED = "crashed"


def prepare(config: PrepareConfig) -> PrepareReport:
    """Tokenize the songs of a catalog that the table does not know yet.

    Files that are no songs land in the table's quarantine with a reason, songs with vocals among the dropped.
    Run again, nothing happens: no model is loaded and no version is written.

    Raises:
        StemsError: the catalog, a model directory or the table is at fault, or the cluster is too small.
    """
    started = time.monotonic()
    entries = import_catalog(config.catalog, config.manifest)
    layout, identity = layout_of(config), identity_of(config)
    if "://" in config.keep_stems:
        raise StemsError(f"Stems cannot be kept at '{config.keep_stems}'.", "Name a folder.", field="keep_stems")
    table = TokenTable(config.table)
    table.create()
    done_before, songs = table.known_sources(identity), table.known_songs(identity)
    todo = [entry for entry in entries if entry.fingerprint not in done_before]
    collector = Collector(table, config, identity, str(layout), songs)
    if todo:
        _process(todo, config, identity, layout, songs, collector)
    done = collector.tokenized + collector.vocals + collector.duplicates + collector.quarantined.total()
    return PrepareReport(
        songs=len(entries),
        already_there=len(entries) - done,
        tokenized=collector.tokenized,
        vocals=collector.vocals,
        duplicates=collector.duplicates,
        quarantined=dict(collector.quarantined),
        hours=collector.hours,
        seconds=time.monotonic() - started,
        versions=table.versions(),
    )


def _process(
    todo: list[CatalogEntry],
    config: PrepareConfig,
    identity: Identity,
    layout: StemLayout,
    known: Mapping[str, str],
    collector: Collector,
) -> None:
    from pipelines.tokens.stream import run_stream, start_ray
    from pipelines.tokens.tokenize import TokenizerSettings

    settings = TokenizerSettings(
        separator=config.separator,
        codecs=config.codecs,
        layout=layout,
        vocal_threshold=vocal_threshold(config),
        vocals=identity.vocals,
        vocal_tags=identity.vocal_tags,
        group_seconds=config.max_seconds,
        keep_stems=config.keep_stems,
        device="cuda" if config.gpus_per_actor else "cpu",
    )
    limits = Limits(config.min_seconds, config.max_seconds, config.max_megabytes)
    start_ray()
    with _Bar(len(todo)) as bar:
        # Songs that shared a block with a file that crashed its task are missing: they run again, alone.
        for songs_per_block in (config.songs_per_batch, 1):
            missing = [entry for entry in todo if entry.fingerprint not in collector.seen]
            if missing:
                lines = [entry_to_json(entry) for entry in missing]
                for result in run_stream(lines, config, limits, known, settings, songs_per_block):
                    collector.take(result)
                    bar.advance()
    for entry in todo:
        if entry.fingerprint not in collector.seen:
            collector.quarantine(entry, CRASHED, f"'{entry.uri}' crashed its decoder or filled the memory.")
    collector.finish()


class _Bar:
    """Songs done, rate and time left, on stderr where that is a terminal."""

    def __init__(self, songs: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("prepare"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("songs, {task.fields[rate]:.1f}/min"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("prepare", total=songs, rate=0.0)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One song more."""
        task = self._progress.tasks[0]
        rate = (task.completed + 1) / max(task.elapsed or 0.0, 0.1) * 60
        self._progress.update(self._task, advance=1, rate=rate)
