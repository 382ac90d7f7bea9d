"""The two commands: generate, edit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.audio.files import loudness, read_audio
from models.files.output_folder import check_folder
from models.files.output_listing import is_song
from models.lm.sampling import Sampling
from models.request_bounds import check_length
from models.song.assembly import Assembly
from models.song.assembly import Progress as Report
from models.song.edit import Edit
from models.song.song import Song
from models.song.source import Source
from pipelines.composing.config import DecodingConfig, EditConfig, GenerateConfig
from pipelines.composing.folder import Audio, read_stems, write_song


def generate(config: GenerateConfig) -> Song:
    """Write a song from text into ``config.output``."""
    output = check_folder(config.output, ours=is_song)
    assembly = _load(config)
    with _progress("generating") as report:
        song = assembly.generate(config.prompt, config.seconds, Sampling.of(config), report)
    _finish(song, assembly, output)
    return song


def edit(config: EditConfig) -> Song:
    """Edit a song into ``config.output``."""
    output = check_folder(config.output, ours=is_song)
    assembly = _load(config)
    change = Edit(config.regenerate, config.texture, config.silent, config.region, config.keep == "exact")
    for names, field in ((config.regenerate, "regenerate"), (config.texture, "texture")):
        assembly.layout.check_names(names, field)
    given = _given(assembly, Path(config.song), config.silent)
    with _progress("editing") as report:
        sources = {name: Source(audio) for name, audio in given.items()}
        song = assembly.edit(sources, change, config.prompt, Sampling.of(config), report)
    _finish(song, assembly, output)
    return song


def _load(config: DecodingConfig) -> Assembly:
    return Assembly.load(config.model, config.device, config.precision)


def _given(assembly: Assembly, song: Path, silent: list[str]) -> dict[str, Audio]:
    if song.is_dir():
        stems = read_stems(song, assembly.layout)
        for name, audio in stems.items():
            check_length(audio.seconds, name, "song")
    else:
        whole = read_audio(song, max_seconds=assembly.max_seconds)
        check_length(whole.seconds, song.name, "song")
        stems = assembly.separate(whole)
    return {name: audio for name, audio in stems.items() if name not in silent}


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda done: bar.update(task, completed=done)


def _finish(song: Song, assembly: Assembly, output: Path) -> None:
    write_song(output, song, assembly.digest)
    table = Table("stem", "seconds", "loudness (LUFS)", title=f"{output} · seed {song.seed}")
    for name, samples in {**song.stems, "mix": song.mix}.items():
        table.add_row(name, f"{song.seconds:.1f}", f"{loudness(Audio(samples[None], song.rate)):.1f}")
    Console().print(table)
