"""The whole road in one job: render, train, prepare, train, make, edit, measure, report."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from models.files.output_folder import check_folder
from models.files.output_listing import is_working, mark_working
from models.lm.sampling import Sampling
from models.song import edit as edits
from models.song.assembly import Assembly
from models.song.assembly_builder import assemble
from models.song.song import Song
from pipelines.composing.folder import write_song
from pipelines.demo.band.render import RenderedSong, render_catalog, render_multitracks
from pipelines.demo.config import DemoConfig
from pipelines.demo.measure import (
    Edit,
    codec_row,
    context_rows,
    edited_clips,
    forget_clips,
    generated_clips,
    loss_curve,
    mixture,
    prepared,
    separation_rows,
    vocal_filter,
)
from pipelines.demo.report import write_report
from pipelines.demo.results import DemoFacts, StepTime
from pipelines.demo.side_by_side import Job, run_side_by_side
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.prepare import prepare
from pipelines.tokens.run.report import PrepareReport
from pipelines.training.codec.config import CodecTraining
from pipelines.training.codec.train_codec import train_codec
from pipelines.training.lm.config import LMTraining
from pipelines.training.lm.train_lm import train_lm
from pipelines.training.loop.train import TrainingResult
from pipelines.training.separator.config import SeparatorTraining
from pipelines.training.separator.train_separator import train_separator
from pipelines.training.tracking.tracking import create_store

LAYOUT = "bass:1,drums:1,other:4"
CODEBOOKS = {"bass": 1, "drums": 1, "other": 4}
REGENERATED = "bass"
VALID_SHARE = 0.2
SEPARATION_SONGS = 8

# What differs from the jobs' own defaults, which are the papers': sizes for minutes on two cores.
SEPARATOR: dict[str, Any] = {"batch": 4, "learning_rate": 1e-2, "validate_every": 10_000, "checkpoint_every": 100}
CODEC: dict[str, Any] = {
    "batch": 4,
    "learning_rate": 5e-3,
    "adversarial": 0.0,
    "wave": 0.02,
    "average_decay": 0.0,
    "codebook_decay": 0.9,
    "warmup_steps": 20,
    "validate_every": 10_000,
    "checkpoint_every": 100,
}
LM: dict[str, Any] = {
    "batch": 8,
    "learning_rate": 3e-3,
    "warmup_steps": 20,
    "validate_every": 100,
    "checkpoint_every": 100,
    "validation_examples": 24,
}

NOTE = (
    "Everything here was learned in minutes by very small models from music that a program wrote. It shows that "
    "the road holds, not how good the models can be."
)

T = TypeVar("T")


@dataclass(frozen=True)
class Band:
    """What was rendered: stems to train on, the catalog to prepare, and a song for the edit."""

    training: list[RenderedSong]
    catalog: list[RenderedSong]
    held_out: RenderedSong


@dataclass(frozen=True)
class Trained:
    """The trainings whose course the report shows."""

    codecs: dict[str, TrainingResult]
    lm: TrainingResult


class Road:
    """One demo: its folder, its console, and the seconds that each step took."""

    def __init__(self, config: DemoConfig) -> None:
        self.config, self.folder = config, check_folder(config.output, ours=_holds_demo)
        mark_working(self.folder)
        self.console = Console(stderr=True)
        self.seconds: dict[str, float] = {}

    @property
    def tracking(self) -> str:
        """Where the trainings of this demo are tracked."""
        return f"sqlite:///{self.folder}/mlflow.db"

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do one step, say how long it took, and remember it beside earlier runs' time for it."""
        self.console.print(f"[bold]{name}[/bold] …")
        began = time.perf_counter()
        result = work()
        spent = time.perf_counter() - began
        self.console.print(f"  {spent:.0f} s")
        self.seconds[name] = self._remember(name, spent)
        return result

    def _remember(self, name: str, spent: float) -> float:
        """Add up the time that a step took over the runs of a demo that was stopped in between."""
        file = self.folder / "seconds.json"
        known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        known[name] = known.get(name, 0.0) + spent
        partial = file.with_name(".seconds.json.partial")
        partial.write_text(json.dumps(known), encoding="utf-8")
        partial.replace(file)
        return known[name]


def _holds_demo(folder: Path) -> bool:
    """Whether a folder is marked, or is of a release before the mark."""
    return is_working(folder) or ((folder / "seconds.json").is_file() and (folder / "band").is_dir())


def run_demo(config: DemoConfig) -> DemoFacts:
    """Run the demo, or go on with one that was stopped, and write ``report.html`` into its folder."""
    road = Road(config)
    band = road.step("Rendering the band", lambda: _render(road))
    separator, codecs = road.step("Training the separator and the codecs", lambda: _train_parts(road))
    codec_folder = _gather(road, codecs)
    road.step("Preparing the catalog", lambda: _prepare(road, separator.directory, codec_folder))
    lm = road.step("Training the language model", lambda: _train_lm(road, codec_folder))
    model = assemble(
        road.folder / "model", lm.directory, {s: codec_folder / s for s in CODEBOOKS}, separator.directory
    )
    generated = road.step("Generating a song", lambda: _generate(road, model))
    edit = road.step("Editing a held-out song", lambda: _edit(road, model, band.held_out))
    parts = Trained(codecs, lm)
    facts = road.step("Measuring", lambda: _measure(road, band, model, parts, generated, edit))
    facts = replace(facts, steps=tuple(StepTime(name, seconds) for name, seconds in road.seconds.items()))
    _summarise(facts, write_report(facts, road.folder))
    return facts


def _render(road: Road) -> Band:
    """Everything that is rendered; what was rendered before is only read, so that the catalog's files stay as old."""
    config, folder = road.config, road.folder / "band"
    done = folder / "rendered.json"
    if done.exists():
        return TypeAdapter(Band).validate_json(done.read_bytes())
    shutil.rmtree(folder, ignore_errors=True)
    band = Band(
        training=render_multitracks(
            folder / "multitracks",
            config.training_songs,
            seed=config.seed + 1,
            seconds=config.training_seconds,
            sung=config.training_songs // 2,
        ),
        catalog=render_catalog(
            folder / "catalog",
            config.catalog_songs,
            seed=config.seed,
            sung=config.catalog_songs // 4,
            seconds=config.catalog_seconds,
            truth=folder / "truth",
            broken=True,
        ),
        held_out=render_multitracks(folder / "held_out", 1, seed=config.seed + 2, seconds=12.0)[0],
    )
    done.write_bytes(TypeAdapter(Band).dump_json(band))
    return band


def _train_parts(road: Road) -> tuple[TrainingResult, dict[str, TrainingResult]]:
    """The separator and the codecs do not wait for each other: they train side by side, a core each."""
    create_store(road.tracking)
    separator = _separator_config(road)
    codecs = {stem: _codec_config(road, stem) for stem in CODEBOOKS}
    jobs: list[Job] = [(separator, partial(train_separator, separator))]
    jobs += [(config, partial(train_codec, config)) for config in codecs.values()]
    first, *others = run_side_by_side(jobs)
    return first, dict(zip(CODEBOOKS, others, strict=True))


def _separator_config(road: Road) -> SeparatorTraining:
    return SeparatorTraining(
        output=str(road.folder / "separator"),
        tracking=road.tracking,
        data=str(road.folder / "band" / "multitracks"),
        preset="tiny",
        steps=road.config.separator_steps,
        seed=road.config.seed,
        **SEPARATOR,
    )


def _codec_config(road: Road, stem: str) -> CodecTraining:
    return CodecTraining(
        name=f"codec-{stem}",
        output=str(road.folder / "codec-training" / stem),
        tracking=road.tracking,
        stems=str(road.folder / "band" / "multitracks"),
        stem=stem,
        codebooks=CODEBOOKS[stem],
        preset="tiny",
        steps=road.config.codec_steps,
        seed=road.config.seed,
        **CODEC,
    )


def _prepare(road: Road, separator: Path, codecs: Path) -> PrepareReport:
    return prepare(
        PrepareConfig(
            catalog=str(road.folder / "band" / "catalog"),
            table=str(road.folder / "tokens"),
            separator=str(separator),
            codecs=str(codecs),
            layout=LAYOUT,
            valid_share=VALID_SHARE,
            actors=os.cpu_count() or 1,
            threads=1,
        )
    )


def _train_lm(road: Road, codecs: Path) -> TrainingResult:
    return train_lm(
        LMTraining(
            output=str(road.folder / "lm"),
            tracking=road.tracking,
            table=str(road.folder / "tokens"),
            codecs=str(codecs),
            preset="tiny",
            steps=road.config.lm_steps,
            seed=road.config.seed,
            **LM,
        )
    )


def _gather(road: Road, codecs: dict[str, TrainingResult]) -> Path:
    """One directory that holds the codecs under their stems' names."""
    for stem, result in codecs.items():
        shutil.copytree(result.directory, road.folder / "codecs" / stem, dirs_exist_ok=True)
    return road.folder / "codecs"


def _generate(road: Road, model: Assembly) -> Song:
    song = model.generate(road.config.prompt, road.config.seconds, Sampling(seed=road.config.seed))
    forget_clips(road.folder / "generated", song)
    write_song(road.folder / "generated", song, model.digest)
    return song


def _edit(road: Road, model: Assembly, held_out: RenderedSong) -> Edit:
    """Separate a song that no model has heard, and give it another bass line."""
    mix = mixture(held_out)
    source = model.separate(mix)
    song = model.edit(source, edits.Edit([REGENERATED]), sampling=Sampling(seed=road.config.seed))
    forget_clips(road.folder / "edited", song)
    write_song(road.folder / "edited", song, model.digest)
    return Edit(held_out.name, source, song, (REGENERATED,))


def _measure(road: Road, band: Band, model: Assembly, parts: Trained, generated: Song, edit: Edit) -> DemoFacts:
    table = TokenTable(str(road.folder / "tokens"))
    instrumental = [song for song in band.catalog if not song.sung]
    counts, quarantine = prepared(table)
    return DemoFacts(
        counts=counts,
        quarantine=quarantine,
        separation=separation_rows(model, instrumental[:SEPARATION_SONGS]),
        codecs=tuple(codec_row(stem, model.codecs[stem], result) for stem, result in parts.codecs.items()),
        vocal_filter=vocal_filter(table, band.catalog),
        loss=loss_curve(parts.lm, table, model),
        context=context_rows(parts.lm, model.layout.names),
        steps=(),
        generated=generated_clips(generated, road.folder / "generated"),
        edited=edited_clips(edit, model, road.folder / "edited"),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        notes=(NOTE,),
    )


def _summarise(facts: DemoFacts, report: Path) -> None:
    table = Table("step", "seconds", title="The demo")
    table.columns[1].justify = "right"
    for step in facts.steps:
        table.add_row(step.name, f"{step.seconds:.0f}")
    table.add_row("all", f"{sum(step.seconds for step in facts.steps):.0f}", style="bold")
    console = Console()
    console.print(table)
    for lost in facts.lost():
        console.print(f"Fell short: {lost}")
    console.print(f"Open {report}", soft_wrap=True)
