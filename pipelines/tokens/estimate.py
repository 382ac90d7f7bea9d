"""`stems prepare plan`: what a run would do and cost, measured on a few songs that are worked through here."""

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
from pipelines.tokens.choose.choose import Chooser
from pipelines.tokens.choose.table_state import NOTHING_KNOWN, read_known
from pipelines.tokens.config import PlanConfig
from pipelines.tokens.encode.actor import load_tokenizer
from pipelines.tokens.encode.steps import SourceSong, Verdict
from pipelines.tokens.paths import check_apart, check_no_own_stems
from pipelines.tokens.resolve import identity_of, layout_of, limits_of, vocal_rule
from pipelines.tokens.run.run import tokenizer_settings
from pipelines.tokens.songs.inspect import Inspected, inspect_file
from pipelines.tokens.songs.source import fetch
from pipelines.tokens.songs.work import Work


@dataclass(frozen=True)
class Speed:
    """What a second of audio costs one worker, in seconds, by stage; and how songs fared.

    Args:
        by_stage: seconds of work a second of audio, of songs that reach the stage.
        songs: worked through.
        sung: of them.
        bad: files that are no songs.
        audio_seconds: mean length of a song.
        cost: seconds of work with the models a second of audio, over all songs, however far each went.
    """

    by_stage: Mapping[str, float]
    songs: int
    sung: int
    bad: int
    audio_seconds: float
    cost: float


@dataclass(frozen=True)
class PlanReport:
    """What a run would do.

    Args:
        files: in the catalog.
        settled: about which there is nothing to do.
        to_read: whose sound nobody has looked at.
        to_tokenize: songs that would reach the models, as far as is known.
        words_to_update: songs whose title, caption or tags have changed.
        hours: of audio in them, estimated from the sample where nobody says.
        worker_hours: of one worker with the models.
        wall_hours: by number of workers; the models' part, which rules.
        price: by number of workers the same; 0 where no price is given.
        speed: as measured.
        device: what it was measured on.
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
            *((f"  {stage}", f"{each:.3f} s a second of audio") for stage, each in self.speed.by_stage.items()),
            (f"{'GPU' if self.device == 'cuda' else 'worker'}-hours", f"{self.worker_hours:.2f}"),
            *((f"  wall time on {n} workers", f"{hours:.2f} h") for n, hours in self.wall_hours.items()),
        ]
        if self.price:
            rows.append(("cost", f"{self.price:.2f}"))
        for name, value in rows:
            table.add_row(name, value)
        return table


def plan(config: PlanConfig) -> PlanReport:
    """Say what `stems prepare` with these settings would do. Nothing is written, and no cluster is started.

    Raises:
        StemsError: the catalog or a model is at fault, or none of the songs of the sample could be read.
    """
    check_apart(config)
    entries = import_catalog(config.catalog, config.manifest, format=config.format, allow_hosts=config.allow_hosts)
    layout, identity = layout_of(config), identity_of(config)
    table = TokenTable(config.table)
    known = read_known(table, identity) if table.tables["tokens"].exists() else NOTHING_KNOWN
    check_no_own_stems(entries, (row.folder for row in known.stems.values()))
    chooser = Chooser(known, identity, layout, vocal_rule(config), limits_of(config), keep=bool(config.keep_stems))
    present = [entry for entry in entries if entry.fingerprint not in known.removed_files]
    remain, early = chooser.before_reading(present)
    unread = [entry for entry in remain if entry.fingerprint not in known.facts]
    choice = chooser.choose(present, known.facts)
    works = choice.works
    candidates = unread + [work.entry for work in works]
    speed = _measure(config, _spread(candidates, config.sample)) if candidates else Speed({}, 0, 0, 0, 0.0, 0.0)
    # What the sample says of unread files: some are no songs.
    songs = len(unread) * (1 - speed.bad / max(1, speed.songs + speed.bad))
    seconds = sum(work.seconds for work in works)
    seconds += sum(entry.seconds or speed.audio_seconds for entry in unread) * songs / max(1, len(unread))
    hours = seconds * speed.cost / 3600
    return PlanReport(
        files=len(entries),
        settled=len(entries) - len(unread) - len(works),
        to_read=len(unread),
        to_tokenize=round(songs) + len(works),
        words_to_update=len(early.reworded) + len(choice.reworded),
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


def _measure(config: PlanConfig, sample: Sequence[CatalogEntry]) -> Speed:
    limits = limits_of(config)
    inspected = [(entry, inspect_file(entry_to_json(entry), limits, tuple(config.allow_hosts))) for entry in sample]
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
    settings = replace(tokenizer_settings(config, layout_of(config), longest), keep_stems="")
    tokenizer = load_tokenizer(settings)
    songs = [_source(config, entry, found) for entry, found in good]
    tokenizer.process(songs[:1])  # the first song pays for warming up
    verdicts = tokenizer.process(songs)
    if all(verdict.reason for verdict in verdicts):
        raise StemsError(
            f"None of the {len(songs)} songs of the sample could be tokenized; the first: {verdicts[0].message}",
            "Check the separator and the codecs.",
            code="models_fail",
            field="separator",
        )
    return _speed(good, verdicts, len(inspected) - len(good))


def _source(config: PlanConfig, entry: CatalogEntry, found: Inspected) -> SourceSong:
    separator = GIVEN if entry.stems else "sample"
    work = Work(entry, found.song_id, found.seconds, separator, layout_of(config).names)
    blobs = fetch(entry, allow_hosts=config.allow_hosts, max_bytes=limits_of(config).max_bytes)
    return SourceSong(work, blobs)


def _speed(good: Sequence[tuple[CatalogEntry, Inspected]], verdicts: Sequence[Verdict], bad: int) -> Speed:
    seconds = [found.seconds for _, found in good]
    by_stage = {"inspect": sum(found.took for _, found in good) / sum(seconds)}
    for stage in dict.fromkeys(name for verdict in verdicts for name in verdict.took):
        reached = [(v.took[stage], s) for v, s in zip(verdicts, seconds, strict=True) if stage in v.took]
        by_stage[stage] = math.fsum(took for took, _ in reached) / math.fsum(s for _, s in reached)
    sung = sum(verdict.sung for verdict in verdicts)
    cost = math.fsum(took for verdict in verdicts for took in verdict.took.values()) / math.fsum(seconds)
    return Speed(by_stage, len(good), sung, bad, sum(seconds) / len(seconds), cost)
