"""`stems prepare plan`: estimate what a run would do and cost, from a few songs that are processed here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from models.errors import StemsError
from pipelines.catalog.load import import_catalog
from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.table.schema import GIVEN
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.table_state import EMPTY_STATE, read_state
from pipelines.tokens.config import PlanConfig
from pipelines.tokens.encode.actor import load_tokenizer
from pipelines.tokens.encode.results import Failed, SongResult, Sung
from pipelines.tokens.encode.steps import SourceSong
from pipelines.tokens.paths import check_apart
from pipelines.tokens.preparation import Preparation
from pipelines.tokens.resolve import ResolvedRun, resolve_prepare
from pipelines.tokens.run.run import tokenizer_settings
from pipelines.tokens.songs.inspect import Inspected, inspect_file
from pipelines.tokens.songs.source import fetch
from pipelines.tokens.songs.work import Work


@dataclass(frozen=True)
class Speed:
    """What the sample took one worker, and what was in it.

    Args:
        by_stage: seconds of work per second of audio, of songs that reach the stage.
        songs: songs that were processed.
        sung: songs among them with vocals.
        bad: files that are not usable songs.
        audio_seconds: mean length of a song.
        cost: seconds of work with the models per second of audio, over all songs, however far each went.
    """

    by_stage: Mapping[str, float]
    songs: int
    sung: int
    bad: int
    audio_seconds: float
    cost: float


@dataclass(frozen=True)
class CostEstimate:
    """What a run would do, and what it would cost.

    Args:
        files: files in the catalog.
        settled: files with nothing to do.
        to_read: files that have never been read.
        to_tokenize: songs that would reach the models, as far as is known.
        words_to_update: songs whose title, caption or tags have changed.
        hours: hours of audio in the songs that reach the models; lengths that are not known are the sample's mean.
        worker_hours: hours of one worker with the models.
        wall_hours: wall time of that work, by number of workers.
        price: price of the work; 0 if no price per hour is given.
        speed: measured on the sample.
        device: where it was measured.
    """

    files: int
    settled: int
    to_read: int
    to_tokenize: int
    words_to_update: int
    hours: float
    worker_hours: float
    wall_hours: Mapping[int, float]
    price: float
    speed: Speed
    device: str

    def summary(self) -> Table:
        """For a terminal."""
        table = Table("plan", "", title=None)
        table.columns[1].justify = "right"
        rows = [
            ("files in the catalog", f"{self.files}"),
            ("nothing to do for", f"{self.settled}"),
            ("to be read and checked", f"{self.to_read}"),
            ("to reach the models", f"{self.to_tokenize}"),
            ("words to update", f"{self.words_to_update}"),
            ("hours of audio in them", f"{self.hours:.2f}"),
            (f"measured on {self.device}", f"{self.speed.songs} songs, {self.speed.sung} sung, {self.speed.bad} bad"),
            *((f"  {stage}", f"{each:.3f} s per second of audio") for stage, each in self.speed.by_stage.items()),
            (f"{'GPU' if self.device == 'cuda' else 'worker'}-hours", f"{self.worker_hours:.2f}"),
            *((f"  wall time on {n} workers", f"{hours:.2f} h") for n, hours in self.wall_hours.items()),
        ]
        if self.price:
            rows.append(("cost", f"{self.price:.2f}"))
        for name, value in rows:
            table.add_row(name, value)
        return table


def estimate(config: PlanConfig) -> CostEstimate:
    """Estimate what `stems prepare` with these settings would do. Nothing is written, and no cluster is started.

    Raises:
        StemsError: the catalog or a model is at fault, or no song of the sample could be processed.
    """
    check_apart(config)
    resolved = resolve_prepare(config)
    entries = import_catalog(config.catalog, config.manifest, format=config.format, allow_hosts=config.allow_hosts)
    table = TokenTable(resolved.table)
    state = read_state(table, resolved.identity) if table.exists() else EMPTY_STATE
    todo = Preparation.of(resolved, entries, state)
    choice, unread = todo.choose(state.facts), todo.unread
    candidates = [*unread, *(work.entry for work in choice.works)]
    sample = _spread(candidates, config.sample)
    speed = _measure(resolved, sample) if sample else Speed({}, 0, 0, 0, 0.0, 0.0)
    # Unread files are songs in the same share as in the sample.
    songs = len(unread) * (1 - speed.bad / max(1, speed.songs + speed.bad))
    seconds = sum(work.seconds for work in choice.works)
    seconds += sum(entry.seconds or speed.audio_seconds for entry in unread) * songs / max(1, len(unread))
    kept = sum(work.seconds for work in choice.works if work.folder)  # only encoded
    hours = ((seconds - kept) * speed.cost + kept * speed.by_stage.get("encode", speed.cost)) / 3600
    return CostEstimate(
        files=len(entries),
        settled=len(entries) - len(unread) - len(choice.works),
        to_read=len(unread),
        to_tokenize=round(songs) + len(choice.works),
        words_to_update=len(todo.early.rewording.songs) + len(choice.rewording.songs),
        hours=seconds / 3600,
        worker_hours=hours,
        wall_hours={n: hours / n for n in config.workers},
        price=hours * config.price_per_hour,
        speed=speed,
        device="cuda" if config.gpus_per_actor else f"{config.threads} CPU threads",
    )


def _spread(entries: Sequence[CatalogEntry], count: int) -> list[CatalogEntry]:
    """Some entries, evenly over the catalog."""
    return [entries[k * len(entries) // count] for k in range(min(count, len(entries)))]


def _measure(resolved: ResolvedRun, sample: Sequence[CatalogEntry]) -> Speed:
    inspected = [
        (entry, inspect_file(entry_to_json(entry), resolved.limits, resolved.allow_hosts)) for entry in sample
    ]
    good = [(entry, found) for entry, found in inspected if not found.reason]
    if not good:
        found = inspected[0][1]
        raise StemsError(
            f"None of the {len(sample)} files of the sample is a song; the first: {found.message}",
            "Look at `stems catalog --dry-run`, or take a larger sample.",
            code="empty",
            field="sample",
        )
    longest = max(found.seconds for _, found in good)
    settings = replace(tokenizer_settings(resolved, longest), keep_stems="")
    tokenizer = load_tokenizer(settings)
    songs = [_source(resolved, entry, found) for entry, found in good]
    tokenizer.process(songs[:1])  # the first song warms up the models
    results = tokenizer.process(songs)
    failed = [result for result in results if isinstance(result, Failed)]
    if len(failed) == len(results):
        raise StemsError(
            f"None of the {len(songs)} songs of the sample could be tokenized; the first: {failed[0].message}",
            "Check the separator and the codecs.",
            code="models_fail",
            field="separator",
        )
    return _speed(good, results, len(inspected) - len(good))


def _source(resolved: ResolvedRun, entry: CatalogEntry, found: Inspected) -> SourceSong:
    separator = GIVEN if entry.stems else "sample"
    work = Work(entry, found.song_id, found.seconds, separator, resolved.layout.names)
    blobs = fetch(entry, allow_hosts=resolved.allow_hosts, max_bytes=resolved.limits.max_bytes)
    return SourceSong(work, blobs)


def _speed(good: Sequence[tuple[CatalogEntry, Inspected]], results: Sequence[SongResult], bad: int) -> Speed:
    seconds = [found.seconds for _, found in good]
    by_stage = {"inspect": sum(found.took for _, found in good) / sum(seconds)}
    for stage in dict.fromkeys(name for result in results for name in result.took):
        reached = [(r.took[stage], s) for r, s in zip(results, seconds, strict=True) if stage in r.took]
        by_stage[stage] = math.fsum(took for took, _ in reached) / math.fsum(s for _, s in reached)
    sung = sum(isinstance(result, Sung) for result in results)
    cost = math.fsum(took for result in results for took in result.took.values()) / math.fsum(seconds)
    return Speed(by_stage, len(good), sung, bad, sum(seconds) / len(seconds), cost)
