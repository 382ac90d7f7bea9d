"""The commands that make songs: generate, edit, extend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.audio.files import Audio, loudness
from models.files.output_folder import check_folder
from models.files.output_listing import is_song
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.assembly import Progress as Report
from models.song.continuation import Continuation
from models.song.draft import FADE, Draft
from models.song.edit import Edit
from models.song.rest import REST, lasting
from models.song.song import Song
from models.song.source_quality import in_source_quality
from models.stems import MIX
from pipelines.composing.config import DecodingConfig, EditConfig, ExtendConfig, GenerateConfig
from pipelines.composing.folder import mix_of, write_song
from pipelines.composing.given import GivenSong, read_given


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
    given = read_given(assembly, Path(config.song), silent=config.silent, rest=config.rest)
    draft = assembly.draft_edit(given.sources, change, prompt=config.prompt, sampling=Sampling.of(config))
    return _play(config, assembly, draft, given, output, "editing")


def extend(config: ExtendConfig) -> Song:
    """Let a song go on, into ``config.output``."""
    output = check_folder(config.output, ours=is_song)
    assembly = _load(config)
    assembly.layout.check_names(config.regenerate, "regenerate")
    continuation = Continuation(config.seconds, config.regenerate or None)
    given = read_given(assembly, Path(config.song), silent=[], rest=config.rest)
    draft = assembly.draft_continuation(
        given.sources, continuation, prompt=config.prompt, sampling=Sampling.of(config)
    )
    return _play(config, assembly, draft, given, output, "extending")


def _play(
    config: EditConfig | ExtendConfig, assembly: Assembly, draft: Draft, given: GivenSong, output: Path, what: str
) -> Song:
    """Write a draft as a song, with what is kept beside its stems."""
    with _progress(what) as report:
        song = assembly.play(draft, config.prompt, report)
    sounds, rest = song.sounds, given.mono_rest
    if config.source_quality:
        sounds, rest = in_source_quality(song, draft, given.originals), given.rest
    if rest is not None:
        stem = next(iter(sounds.values()))
        fade = round(FADE * stem.rate / song.rate)
        sounds[REST] = lasting(rest.resample(stem.rate), stem.samples.shape[1], fade)
    _finish(song, assembly, output, sounds, exact=config.source_quality)
    return song


def _load(config: DecodingConfig) -> Assembly:
    return Assembly.load(config.model, config.device, config.precision)


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda done: bar.update(task, completed=done)


def _finish(
    song: Song, assembly: Assembly, output: Path, sounds: dict[str, Audio] | None = None, *, exact: bool = False
) -> None:
    sounds = song.sounds if sounds is None else sounds
    write_song(output, song, assembly.digest, sounds, exact=exact)
    table = Table("stem", "seconds", "loudness (LUFS)", title=f"{output} · seed {song.seed}")
    for name, sound in {**sounds, MIX: mix_of(sounds)}.items():
        table.add_row(name, f"{sound.seconds:.1f}", f"{loudness(sound):.1f}")
    Console().print(table)
