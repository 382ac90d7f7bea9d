"""Files from the band: a catalog as messy as real ones, and multitracks to train from."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import Progress

from models.audio.files import Audio, encode_audio, write_audio
from pipelines.demo.band.band import Performance, play
from pipelines.demo.band.captions import title
from pipelines.demo.band.styles import STYLES

Job = TypeVar("Job")

TRUTH_FILE = "truth.json"
MANIFEST = "metadata.jsonl"
BROKEN_FILE = "Half a Download.mp3"
EMPTY_FILE = "Nothing Yet.wav"
# How files differ: (suffix, rate in Hz, mono) and how often.
_FORMS: tuple[tuple[str, int, bool, float], ...] = (
    (".flac", 44_100, False, 0.42),
    (".flac", 48_000, False, 0.10),
    (".flac", 44_100, True, 0.08),
    (".wav", 44_100, False, 0.08),
    (".wav", 22_050, True, 0.08),
    (".mp3", 44_100, False, 0.10),
    (".ogg", 48_000, True, 0.08),
    (".mp3", 48_000, False, 0.06),
)
_SIDECARS = {"json": 0.35, "txt": 0.15, "manifest": 0.5}
_THREADS = "OMP_NUM_THREADS"  # read by the linear algebra library when a process starts
_TAGGED_SHARE = 0.25  # of the sung songs, how many say so in their tags


@dataclass(frozen=True)
class Order:
    """One song to render: everything that a worker needs to know.

    Attributes:
        name: the song's name, which its files and its truth folder share.
        seed, style, sung, seconds, singing_said: as in :func:`pipelines.demo.band.band.play`.
    """

    name: str
    seed: int
    style: str
    sung: bool
    seconds: float
    singing_said: bool = False


@dataclass(frozen=True)
class RenderedSong:
    """A rendered song and where it lies.

    Attributes:
        name: its name; its truth lies in the folder of that name.
        file: the mix, or None where only stems were asked for.
        stems: stem name -> file, at 44.1 kHz stereo.
        sung, singing_said: whether there is a singer, and whether the tags say so.
        style, caption, tags: in words.
        seconds: its length.
    """

    name: str
    file: Path | None
    stems: dict[str, Path]
    sung: bool
    singing_said: bool
    style: str
    caption: str
    tags: tuple[str, ...]
    seconds: float


def render_multitracks(
    folder: Path,
    songs: int,
    seed: int,
    seconds: float = 30.0,
    sung: int = 0,
    workers: int | None = None,
) -> list[RenderedSong]:
    """Write stems for training: ``<folder>/<song>/<stem>.flac`` and ``truth.json`` for each song.

    Args:
        folder: where to; what is there under the same names is replaced.
        songs: how many, the styles in turn.
        seed: other seeds give other songs.
        seconds: length of each.
        sung: how many of them have a singer.
        workers: processes; one for each core by default, 1 = in this process.
    """
    orders = _orders(songs, seed, sung, seconds)
    return _run("Rendering multitracks", [(order, folder) for order in orders], _write_multitrack, workers)


def render_catalog(
    folder: Path,
    songs: int,
    seed: int,
    sung: int,
    seconds: float = 30.0,
    truth: Path | None = None,
    broken: bool = False,
    workers: int | None = None,
) -> list[RenderedSong]:
    """Write mixes as they are found in real folders, with captions beside them or in ``metadata.jsonl``.

    FLAC mostly, some WAV, MP3 and OGG; some mono; 44.1, 48 and 22.05 kHz. A caption is in ``<name>.json``
    (with title and tags), in ``<name>.txt`` (the caption alone), or on a line of ``metadata.jsonl``.

    Args:
        folder: where the mixes go.
        songs: how many.
        seed: other seeds give other songs.
        sung: how many have a singer; about a quarter of these say so in their tags.
        seconds: length of each.
        truth: where stems and ``truth.json`` go, a folder a song; None writes none.
        broken: add a truncated MP3 and an empty WAV.
        workers: processes; one for each core by default, 1 = in this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    orders = _orders(songs, seed, sung, seconds)
    forms = _deal([share for *_, share in _FORMS], songs, np.random.default_rng([seed, 2]))
    jobs = [(order, folder, truth, _FORMS[form][:3]) for order, form in zip(orders, forms, strict=True)]
    rendered = _run("Rendering the catalog", jobs, _write_song, workers)
    _write_words(folder, rendered, np.random.default_rng([seed, 1]))
    if broken:
        _write_broken(folder, seed)
    return rendered


def truth_of(performance: Performance) -> dict[str, object]:
    """Everything known about a performance but its samples, as plain data. Times in seconds."""
    return {
        "style": performance.style,
        "tempo": performance.tempo,
        "key": performance.key,
        "seconds": performance.seconds,
        "beats": list(performance.beats),
        "downbeats": list(performance.downbeats),
        "chords": [list(span) for span in performance.chords],
        "bass_notes": [[note.start, note.end, note.pitch] for note in performance.bass_notes],
        "caption": performance.caption,
        "tags": performance.tags,
        "sung": "vocals" in performance.stems,
    }


def _orders(songs: int, seed: int, sung: int, seconds: float) -> list[Order]:
    rng = np.random.default_rng([seed, 0])
    singing = rng.permutation(songs)[:sung]
    said = set(singing[: round(_TAGGED_SHARE * sung)].tolist())
    styles = list(STYLES)
    turn = int(rng.integers(len(styles)))
    return [
        Order(
            name=f"{i + 1:03d} {title(rng)}",
            seed=int(rng.integers(2**31)),
            style=styles[(i + turn) % len(styles)],
            sung=i in singing,
            seconds=seconds,
            singing_said=i in said,
        )
        for i in range(songs)
    ]


def _deal(shares: list[float], count: int, rng: np.random.Generator) -> list[int]:
    """A choice for each of ``count`` songs, shuffled; each choice comes up in its share of them."""
    middles = (rng.permutation(count) + 0.5) / count * sum(shares)
    return np.minimum(np.searchsorted(np.cumsum(shares), middles), len(shares) - 1).tolist()


def _write_multitrack(job: tuple[Order, Path]) -> RenderedSong:
    order, folder = job
    performance = _perform(order)
    return _rendered(order, performance, None, _write_truth(folder / order.name, performance))


def _write_song(job: tuple[Order, Path, Path | None, tuple[str, int, bool]]) -> RenderedSong:
    order, folder, truth, (suffix, rate, mono) = job
    performance = _perform(order)
    audio = Audio(performance.mix, performance.rate).resample(rate)
    file = folder / f"{order.name}{suffix}"
    write_audio(file, audio.mono() if mono else audio)
    stems = _write_truth(truth / order.name, performance) if truth else {}
    return _rendered(order, performance, file, stems)


def _perform(order: Order) -> Performance:
    return play(order.seed, order.style, order.sung, order.seconds, order.singing_said)


def _write_truth(folder: Path, performance: Performance) -> dict[str, Path]:
    stems = {name: folder / f"{name}.flac" for name in performance.stems}
    for name, file in stems.items():
        write_audio(file, Audio(performance.stems[name], performance.rate))
    (folder / TRUTH_FILE).write_text(
        json.dumps(truth_of(performance), ensure_ascii=False, indent=1), encoding="utf-8"
    )
    return stems


def _rendered(order: Order, performance: Performance, file: Path | None, stems: dict[str, Path]) -> RenderedSong:
    return RenderedSong(
        name=order.name,
        file=file,
        stems=stems,
        sung=order.sung,
        singing_said=order.sung and order.singing_said,
        style=performance.style,
        caption=performance.caption,
        tags=tuple(performance.tags),
        seconds=performance.seconds,
    )


def _write_words(folder: Path, songs: list[RenderedSong], rng: np.random.Generator) -> None:
    lines = []
    kinds = _deal(list(_SIDECARS.values()), len(songs), rng)
    for song, dealt in zip(songs, kinds, strict=True):
        assert song.file is not None
        name = song.name.partition(" ")[2]
        words = {"title": name, "caption": song.caption, "tags": list(song.tags)}
        kind = list(_SIDECARS)[dealt]
        if kind == "json":
            song.file.with_suffix(".json").write_text(
                json.dumps(words, ensure_ascii=False, indent=1), encoding="utf-8"
            )
        elif kind == "txt" and not song.singing_said:  # text alone has no room for tags
            song.file.with_suffix(".txt").write_text(song.caption + "\n", encoding="utf-8")
        else:
            lines.append(json.dumps({"file_name": song.file.name, **words}, ensure_ascii=False))
    (folder / MANIFEST).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _write_broken(folder: Path, seed: int) -> None:
    """An MP3 that ends inside its first frame, as a download cut short, and a file of no bytes."""
    whole = encode_audio(Audio(play(seed, seconds=2.0).mix, 44_100), "mp3")
    (folder / BROKEN_FILE).write_bytes(whole[:40])
    (folder / EMPTY_FILE).write_bytes(b"")


def _run(title: str, jobs: list[Job], work: Callable[[Job], RenderedSong], workers: int | None) -> list[RenderedSong]:
    """Do all jobs, in order, with a progress bar where stderr is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        return list(progress.track(_results(jobs, work, workers), total=len(jobs), description=title))


def _results(jobs: list[Job], work: Callable[[Job], RenderedSong], workers: int | None) -> Iterable[RenderedSong]:
    count = min(workers or os.cpu_count() or 1, len(jobs))
    if count <= 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: a forked child inherits the locks of the parent's threads.
    context = multiprocessing.get_context("spawn")
    with _one_thread_each(), ProcessPoolExecutor(count, mp_context=context) as pool:
        yield from pool.map(work, jobs)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started here do their matrix products on one thread: more would fight over the cores."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
