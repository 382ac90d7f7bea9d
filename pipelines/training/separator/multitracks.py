"""Songs with known stems, and training examples mixed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.audio.files import in_16_bits, read_audio
from models.errors import StemsError
from pipelines.catalog.storage.files import in_parallel, is_remote
from pipelines.training.data.sound_files import SUFFIXES, SoundFile, songs_in_store

Stem16 = NDArray[np.int16]
Wave = NDArray[np.float32]

GAIN_DB = 4.0
"""Stems get a random gain of up to this many dB in either direction."""

PLACES = 3
"""Random places among which the loudest is chosen."""

_FULL_SCALE = 32768.0


@dataclass(frozen=True)
class Multitrack:
    """One song: its name and those of its stems that exist, 16-bit [2, n], all at one rate."""

    name: str
    stems: Mapping[str, Stem16]

    @property
    def samples(self) -> int:
        """Length of the longest stem."""
        return max(stem.shape[1] for stem in self.stems.values())

    def excerpt(self, source: str, start: int, samples: int) -> Wave:
        """Part of a stem, [2, samples]; silence where the song lacks the stem, or has ended."""
        part = np.zeros((2, samples), np.float32)
        if source in self.stems:
            found = self.stems[source][:, start : start + samples]
            part[:, : found.shape[1]] = found / np.float32(_FULL_SCALE)
        return part

    def whole(self, sources: Sequence[str]) -> Wave:
        """Every stem of the whole song, [sources, 2, n]; the song is their sum."""
        return np.stack([self.excerpt(source, 0, self.samples) for source in sources])


def read_multitracks(
    root: str | Path, sources: Sequence[str], rate: int, memory_gb: float, copies: Path | None = None
) -> list[Multitrack]:
    """Read every song of a multitrack folder: ``<root>/<song>/<source>.flac`` or ``.wav``, at any rate.

    Files that are not one of `sources`, such as a mix, are ignored, and so are folders without sources. Files of an
    object store are copied into the folder `copies`, by default in the system's temporary folder.

    Raises:
        StemsError: there are no songs, a source occurs in no song, a file cannot be read, or memory_gb is too small.
    """
    folder = str(root)
    files = _in_store(folder, sources, copies) if is_remote(folder) else _on_disk(Path(root), sources)
    files = {name: stems for name, stems in files.items() if stems}
    if not files:
        raise StemsError(
            f"There are no stems in '{folder}'.",
            f"Arrange songs as song/stem.flac, with stems named {', '.join(sources)}.",
            code="missing",
            field="data",
        )
    for source in sources:
        if not any(source in stems for stems in files.values()):
            raise StemsError(
                f"No song in '{folder}' has the stem '{source}'.",
                f"Add songs with a file {source}.flac.",
                code="missing",
                field="data",
            )
    every = [file for stems in files.values() for file in stems.values()]
    _check_memory(every, rate, memory_gb)
    in_parallel(SoundFile.here, every)
    return [
        Multitrack(name, {source: _read(file, rate) for source, file in stems.items()})
        for name, stems in files.items()
    ]


def hold_out(songs: Sequence[Multitrack], count: int) -> tuple[list[Multitrack], list[Multitrack]]:
    """Songs for training, and `count` others spread evenly over those with and without each stem.

    Raises:
        StemsError: nothing would be left to train on.
    """
    if len(songs) <= count:
        raise StemsError(
            f"There are {len(songs)} songs, too few to hold out {count}.",
            "Add songs, or lower held_out.",
            field="held_out",
        )
    ordered = sorted(songs, key=lambda song: (sorted(song.stems), song.name))
    apart = {int((k + 0.5) * len(ordered) / count) for k in range(count)}
    train = [song for k, song in enumerate(ordered) if k not in apart]
    return train, [ordered[k] for k in sorted(apart)]


@dataclass(frozen=True)
class Mixer:
    """Mixes training examples from songs.

    Attributes:
        songs: what to draw from.
        sources: the stems, in the network's order.
        samples: length of an example.
        rare: the source that is present in `rare_share` of the examples, however many songs have it; in
            the other examples it is silent.
        rare_share: see `rare`.
        remix_share: share of examples whose stems are taken from different songs and moments.
    """

    songs: Sequence[Multitrack]
    sources: Sequence[str]
    samples: int
    rare: str
    rare_share: float
    remix_share: float

    def draw(self, rng: np.random.Generator) -> Wave:
        """The stems of one example, [sources, 2, samples]; their sum has a deviation of 1, or is silent.

        Each stem's gain, polarity and sides are drawn too.
        """
        remix, sung = rng.random() < self.remix_share, rng.random() < self.rare_share
        home = self.songs[int(rng.integers(len(self.songs)))]
        start = self._start(home, self.rare if sung else None, rng)
        stems = []
        for source in self.sources:
            song, at = home, start
            if remix or (source == self.rare and source not in home.stems):
                song = self._song_with(source, rng)
                at = self._start(song, source, rng)
            stem = song.excerpt(source, at, self.samples)
            stems.append(_vary(stem, rng) if sung or source != self.rare else np.zeros_like(stem))
        example = np.stack(stems)
        return example / np.float32(example.sum(0).std() + 1e-4)

    def _song_with(self, source: str, rng: np.random.Generator) -> Multitrack:
        having = [song for song in self.songs if source in song.stems] or self.songs
        return having[int(rng.integers(len(having)))]

    def _start(self, song: Multitrack, source: str | None, rng: np.random.Generator) -> int:
        """Where to cut a song: of a few random places, the one where `source` is loudest, so that rests are rare."""
        places = [int(at) for at in rng.integers(max(1, song.samples - self.samples + 1), size=PLACES)]
        if source is None or source not in song.stems:
            return places[0]
        stem = song.stems[source]
        return max(places, key=lambda at: np.abs(stem[:, at : at + self.samples : 16].astype(np.int32)).sum())


def _vary(stem: Wave, rng: np.random.Generator) -> Wave:
    gain = 10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20) * (1 if rng.random() < 0.5 else -1)
    sides = stem[::-1] if rng.random() < 0.5 else stem
    return np.float32(gain) * sides


def _on_disk(root: Path, sources: Sequence[str]) -> dict[str, dict[str, SoundFile]]:
    """By song and source, the file to read."""
    found: dict[str, dict[str, SoundFile]] = {}
    for song in sorted(root.glob("*/")):
        paths = {source: [song / f"{source}{suffix}" for suffix in SUFFIXES] for source in sources}
        found[song.name] = {s: SoundFile(path) for s, some in paths.items() for path in some[::-1] if path.is_file()}
    return found


def _in_store(root: str, sources: Sequence[str], copies: Path | None) -> dict[str, dict[str, SoundFile]]:
    """The same in an object store."""
    found: dict[str, dict[str, SoundFile]] = {}
    for song, files in songs_in_store(root, copies).items():
        names = {source: [f"{source}{suffix}" for suffix in SUFFIXES] for source in sources}
        found[song] = {s: files[name] for s, some in names.items() for name in some[::-1] if name in files}
    return found


def _check_memory(files: Sequence[SoundFile], rate: int, memory_gb: float) -> None:
    seconds = sum(in_parallel(SoundFile.seconds, files))
    needed = seconds * rate * 4 / 1e9
    if needed > memory_gb:
        raise StemsError(
            f"These songs take {needed:.1f} GB of memory; the limit is {memory_gb:g} GB.",
            "Raise memory_gb, or train on fewer songs.",
            code="too_long",
            field="memory_gb",
        )


def _read(file: SoundFile, rate: int) -> Stem16:
    samples = read_audio(file.here(), name=file.name).stereo().resample(rate).samples
    return in_16_bits(samples)
