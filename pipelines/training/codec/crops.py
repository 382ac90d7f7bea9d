"""Training data of a codec: crops of one stem of many songs."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.audio.files import read_audio, read_excerpt
from models.errors import StemsError
from pipelines.catalog.storage.files import Unreachable, in_parallel, is_remote
from pipelines.training.data.sampler import rng
from pipelines.training.data.sound_files import SUFFIXES, SoundFile, songs_in_store

SILENCE = 1e-3
"""RMS (−60 dB) below which a crop counts as silent."""

KEEP_SILENT = 0.1
DRAWS = 10
UNREADABLE_DRAWS = 1000
"""Consecutive unreadable draws after which training fails."""

_NOTHING = np.zeros(0, np.float32)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StemFile:
    """One song's stem."""

    song: str
    sound: SoundFile
    seconds: float

    @property
    def path(self) -> Path:
        """Path of the file or of its copy."""
        return self.sound.path


def find_stems(folder: str | Path, stem: str, copies: Path | None = None) -> list[StemFile]:
    """The named stem of every song in a folder, by song name. Songs without it are skipped.

    So are broken files, with a warning. StemsError ``missing`` if no song has the stem, ``unreadable`` if none of its
    files can be opened.

    Args:
        folder: local, or in an object store, of which only headers are read.
        stem: its file is called ``<stem>.flac`` or ``<stem>.wav``.
        copies: local folder for what is read from a store later; the system's temporary one by default.
    """
    if is_remote(str(folder)):
        songs = _in_store(str(folder), stem, copies)
        measured = in_parallel(_readable, list(songs.items()))
    else:
        songs = _on_disk(Path(folder), stem)
        measured = [_readable(song) for song in songs.items()]
    found = [file for file in measured if file is not None]
    if not songs:
        raise StemsError(
            f"No song in {folder} has a stem '{stem}'.",
            f"Expected files such as {folder}/a-song/{stem}.flac.",
            code="missing",
            field="stems",
        )
    if not found:
        raise _unreadable([sound for sounds in songs.values() for sound in sounds])
    return found


def _on_disk(folder: Path, stem: str) -> dict[str, list[SoundFile]]:
    """By song, the files that may be its stem."""
    songs = sorted(path for path in folder.glob("*") if path.is_dir())
    paths = {song.name: [song / f"{stem}{suffix}" for suffix in SUFFIXES] for song in songs}
    found = {song: [SoundFile(path) for path in some if path.exists()] for song, some in paths.items()}
    return {song: sounds for song, sounds in found.items() if sounds}


def _in_store(folder: str, stem: str, copies: Path | None) -> dict[str, list[SoundFile]]:
    """The same in an object store."""
    names = [f"{stem}{suffix}" for suffix in SUFFIXES]
    songs = songs_in_store(folder, copies).items()
    found = {song: [files[name] for name in names if name in files] for song, files in songs}
    return {song: sounds for song, sounds in found.items() if sounds}


def _readable(song: tuple[str, list[SoundFile]]) -> StemFile | None:
    """The first of a song's files that can be read."""
    name, sounds = song
    for sound in sounds:
        try:
            return StemFile(name, sound, sound.seconds())
        except Unreachable:
            raise  # not the file's fault
        except StemsError as error:
            log.warning("%s Training goes on without it.", error.message)
    return None


def hold_out(files: list[StemFile], share: float) -> tuple[list[StemFile], list[StemFile]]:
    """Split songs into training and validation, at least one each.

    Songs are ordered by a hash of their name, so the same song stays on the same side as a collection grows
    (but for those at the border).
    """
    if len(files) < 2:
        raise StemsError(
            f"There is only one song, '{files[0].song}'.",
            "Give at least two: one is held out for validation.",
            code="too_few",
            field="stems",
        )
    ordered = sorted(files, key=lambda file: hashlib.sha256(file.song.encode()).digest())
    count = min(len(files) - 1, max(1, round(share * len(files))))
    return ordered[count:], ordered[:count]


class StemCrops:
    """Draws crops of a set of songs, mono at one rate.

    If all songs fit ``memory_bytes`` each is decoded once and kept. If not, none is: only the range of a crop is
    read. It is one or the other for all of a run, so that a resumed run hears the very same samples. Of an object
    store, each file is copied near when it is first drawn.
    """

    def __init__(self, files: list[StemFile], rate: int, memory_bytes: float) -> None:
        self.files, self.rate = files, rate
        seconds = np.array([file.seconds for file in files])
        self.keeps = 4 * rate * seconds.sum() <= memory_bytes
        self._decoded: dict[Path, np.ndarray] = {}
        self._broken: set[Path] = set()
        self._until = np.cumsum(seconds / seconds.sum())

    def length(self, file: StemFile) -> int:
        """Samples of a song."""
        return round(file.seconds * self.rate)

    def piece(self, file: StemFile, start: int, samples: int) -> np.ndarray:
        """A part of a song, float32 [samples]; shorter where the song ends, nothing where the file is damaged."""
        try:
            if not self.keeps:
                return read_excerpt(file.sound.here(), self.rate, start, samples).mono().samples[0]
            if file.path not in self._decoded and file.path not in self._broken:
                self._decoded[file.path] = read_audio(file.sound.here()).mono().resample(self.rate).samples[0]
            return self._decoded.get(file.path, _NOTHING)[start : start + samples]
        except Unreachable:
            raise
        except StemsError as error:
            if file.path not in self._broken:
                said = error.message.replace(str(file.path), file.sound.name)
                log.warning("%s Training goes on without its unreadable parts.", said)
            self._broken.add(file.path)
            return _NOTHING

    def draw(self, seed: int, step: int, index: int, samples: int) -> np.ndarray:
        """The crop of item ``index`` of step ``step``, float32 [samples].

        Every second of sound is equally likely. Silent crops are drawn again, most of the time: a codec needs
        only a few to learn silence. What cannot be read is drawn again too. Songs shorter than the crop are padded
        with silence.
        """
        random = rng(seed, step, index)
        for _ in range(DRAWS):
            crop = self._somewhere(random, samples)
            if not is_silent(crop) or random.random() < KEEP_SILENT:
                break
        return np.pad(crop, (0, samples - len(crop)))

    def _somewhere(self, random: np.random.Generator, samples: int) -> np.ndarray:
        """A piece that can be read, of any song, silent or not."""
        for _ in range(UNREADABLE_DRAWS):
            number = min(int(np.searchsorted(self._until, random.random())), len(self.files) - 1)
            file = self.files[number]
            start = int(random.integers(max(1, self.length(file) - samples + 1)))
            piece = self.piece(file, start, samples)
            if len(piece):
                return piece
        raise _unreadable([file.sound for file in self.files])

    def excerpts(self, count: int, samples: int) -> np.ndarray:
        """``count`` fixed excerpts [count, samples], spread evenly over the songs; silent ones are left out.

        Fewer, down to one, come back where much is silent.
        """
        kept: list[np.ndarray] = []
        for number in range(count):
            file = self.files[number % len(self.files)]
            rounds = -(-count // len(self.files))
            place = (number // len(self.files) + 0.5) / rounds
            piece = self.piece(file, int(place * max(0, self.length(file) - samples)), samples)
            if len(piece) and (not is_silent(piece) or (number == count - 1 and not kept)):
                kept.append(np.pad(piece, (0, samples - len(piece))))
        if not kept:
            raise _unreadable([file.sound for file in self.files])
        return np.stack(kept)


def is_silent(samples: np.ndarray) -> bool:
    """Whether the RMS is below −60 dB."""
    return float(np.sqrt(np.mean(np.square(samples)))) < SILENCE


def _unreadable(files: list[SoundFile]) -> StemsError:
    return StemsError(
        f"Almost none of the {len(files)} songs around '{files[0].name}' can be read.",
        "Create these stems again, or remove the damaged files.",
        code="unreadable",
        field="stems",
    )
