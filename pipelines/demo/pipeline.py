"""The whole pipeline in one job: render, train, prepare, train, make, edit, measure, report."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.assembly_builder import assemble
from models.song.edit import Edit
from models.song.song import Song
from models.song.source import Source
from pipelines.composing.folder import write_song
from pipelines.demo.band.render import RenderedSong, render_catalog, render_multitracks
from pipelines.demo.config import DemoConfig
from pipelines.demo.demo_run import DemoRun
from pipelines.demo.extension import extended_song
from pipelines.demo.measure import (
    FinishedEdit,
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
from pipelines.demo.results import DemoResults, ExtendedSong, StepTime
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
    "the pipeline works, not how good the models can be."
)


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


@dataclass(frozen=True)
class Songs:
    """What the trained model made."""

    generated: Song
    edit: FinishedEdit
    extended: ExtendedSong


def run_demo(config: DemoConfig) -> DemoResults:
    """Run the demo, or go on with one that was stopped, and write ``report.html`` into its folder."""
    run = DemoRun(config)
    band = run.step("Rendering the band", lambda: _render(run))
    separator, codecs = run.step("Training the separator and the codecs", lambda: _train_parts(run))
    codec_folder = _gather(run, codecs)
    run.step("Preparing the catalog", lambda: _prepare(run, separator.directory, codec_folder))
    lm = run.step("Training the language model", lambda: _train_lm(run, codec_folder))
    model = assemble(
        run.folder / "model", lm.directory, {s: codec_folder / s for s in CODEBOOKS}, separator.directory
    )
    generated = run.step("Generating a song", lambda: _generate(run, model))
    edit = run.step("Editing a held-out song", lambda: _edit(run, model, band.held_out))
    extended = run.step("Extending the song", lambda: _extend(run, model, generated))
    parts = Trained(codecs, lm)
    results = run.step("Measuring", lambda: _measure(run, band, model, parts, Songs(generated, edit, extended)))
    results = replace(results, steps=tuple(StepTime(name, seconds) for name, seconds in run.seconds.items()))
    _summarise(results, write_report(results, run.folder))
    return results


def _render(run: DemoRun) -> Band:
    """Everything that is rendered; what was rendered before is only read, so that the catalog's files stay as old."""
    config, folder = run.config, run.folder / "band"
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


def _train_parts(run: DemoRun) -> tuple[TrainingResult, dict[str, TrainingResult]]:
    """The separator and the codecs do not wait for each other: they train side by side, a core each."""
    create_store(run.tracking)
    separator = _separator_config(run)
    codecs = {stem: _codec_config(run, stem) for stem in CODEBOOKS}
    jobs: list[Job] = [(separator, partial(train_separator, separator))]
    jobs += [(config, partial(train_codec, config)) for config in codecs.values()]
    first, *others = run_side_by_side(jobs)
    return first, dict(zip(CODEBOOKS, others, strict=True))


def _separator_config(run: DemoRun) -> SeparatorTraining:
    return SeparatorTraining(
        output=str(run.folder / "separator"),
        tracking=run.tracking,
        data=str(run.folder / "band" / "multitracks"),
        preset="tiny",
        steps=run.config.separator_steps,
        seed=run.config.seed,
        **SEPARATOR,
    )


def _codec_config(run: DemoRun, stem: str) -> CodecTraining:
    return CodecTraining(
        name=f"codec-{stem}",
        output=str(run.folder / "codec-training" / stem),
        tracking=run.tracking,
        stems=str(run.folder / "band" / "multitracks"),
        stem=stem,
        codebooks=CODEBOOKS[stem],
        preset="tiny",
        steps=run.config.codec_steps,
        seed=run.config.seed,
        **CODEC,
    )


def _prepare(run: DemoRun, separator: Path, codecs: Path) -> PrepareReport:
    return prepare(
        PrepareConfig(
            catalog=str(run.folder / "band" / "catalog"),
            table=str(run.folder / "tokens"),
            separator=str(separator),
            codecs=str(codecs),
            layout=LAYOUT,
            valid_share=VALID_SHARE,
            actors=os.cpu_count() or 1,
            threads=1,
        )
    )


def _train_lm(run: DemoRun, codecs: Path) -> TrainingResult:
    return train_lm(
        LMTraining(
            output=str(run.folder / "lm"),
            tracking=run.tracking,
            table=str(run.folder / "tokens"),
            codecs=str(codecs),
            preset="tiny",
            steps=run.config.lm_steps,
            seed=run.config.seed,
            **LM,
        )
    )


def _gather(run: DemoRun, codecs: dict[str, TrainingResult]) -> Path:
    """One directory that holds the codecs under their stems' names."""
    for stem, result in codecs.items():
        shutil.copytree(result.directory, run.folder / "codecs" / stem, dirs_exist_ok=True)
    return run.folder / "codecs"


def _generate(run: DemoRun, model: Assembly) -> Song:
    song = model.generate(run.config.prompt, run.config.seconds, Sampling(seed=run.config.seed))
    forget_clips(run.folder / "generated", song)
    write_song(run.folder / "generated", song, model.digest)
    return song


def _extend(run: DemoRun, model: Assembly, song: Song) -> ExtendedSong:
    return extended_song(song, model, run.folder / "extended", run.config.seed)


def _edit(run: DemoRun, model: Assembly, held_out: RenderedSong) -> FinishedEdit:
    """Separate a song that no model has heard, and give it another bass line."""
    mix = mixture(held_out)
    source = model.separate(mix)
    sources = {name: Source(stem) for name, stem in source.items()}
    song = model.edit(sources, Edit([REGENERATED]), sampling=Sampling(seed=run.config.seed))
    forget_clips(run.folder / "edited", song)
    write_song(run.folder / "edited", song, model.digest)
    return FinishedEdit(held_out.name, source, song, (REGENERATED,))


def _measure(run: DemoRun, band: Band, model: Assembly, parts: Trained, songs: Songs) -> DemoResults:
    table = TokenTable(str(run.folder / "tokens"))
    instrumental = [song for song in band.catalog if not song.sung]
    counts, quarantine = prepared(table)
    return DemoResults(
        counts=counts,
        quarantine=quarantine,
        separation=separation_rows(model, instrumental[:SEPARATION_SONGS]),
        codecs=tuple(codec_row(stem, model.codecs[stem], result) for stem, result in parts.codecs.items()),
        vocal_filter=vocal_filter(table, band.catalog),
        loss=loss_curve(parts.lm, table, model),
        context=context_rows(parts.lm, model.layout.names),
        steps=(),
        generated=generated_clips(songs.generated, run.folder / "generated"),
        edited=edited_clips(songs.edit, model, run.folder / "edited"),
        extended=songs.extended,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        notes=(NOTE,),
    )


def _summarise(results: DemoResults, report: Path) -> None:
    table = Table("step", "seconds", title="The demo")
    table.columns[1].justify = "right"
    for step in results.steps:
        table.add_row(step.name, f"{step.seconds:.0f}")
    table.add_row("all", f"{sum(step.seconds for step in results.steps):.0f}", style="bold")
    console = Console()
    console.print(table)
    for lost in results.shortfalls():
        console.print(f"Fell short: {lost}")
    console.print(f"Open {report}", soft_wrap=True)
