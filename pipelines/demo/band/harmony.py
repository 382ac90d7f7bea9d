"""Keys, chords, progressions and voicings, as pitch numbers that the band can play.

Pitches are MIDI numbers (60 = middle C); a pitch class is a pitch modulo 12. Chord symbols are written the
way musicians write them (``Am7``); chord names in the truth follow Harte's syntax (``A:min7``), which the
usual evaluation tools read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

Mode = Literal["major", "minor"]

BASS_RANGE = (28, 43)  # E1 … G2: a bass guitar's low strings
PITCH_NAMES: dict[Mode, tuple[str, ...]] = {
    "major": ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"),
    "minor": ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"),
}
SCALES: dict[Mode, tuple[int, ...]] = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# Symbol as written -> (Harte quality, intervals above the root).
QUALITIES: dict[str, tuple[str, tuple[int, ...]]] = {
    "": ("maj", (0, 4, 7)),
    "m": ("min", (0, 3, 7)),
    "5": ("5", (0, 7)),
    "6": ("maj6", (0, 4, 7, 9)),
    "7": ("7", (0, 4, 7, 10)),
    "9": ("9", (0, 4, 7, 10, 14)),
    "m6": ("min6", (0, 3, 7, 9)),
    "m7": ("min7", (0, 3, 7, 10)),
    "m9": ("min9", (0, 3, 7, 10, 14)),
    "maj7": ("maj7", (0, 4, 7, 11)),
    "m7b5": ("hdim7", (0, 3, 6, 10)),
    "sus4": ("sus4", (0, 5, 7)),
}
_SYMBOL = re.compile(r"([A-G][#b]?)(.*)")
_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Key:
    """A key: the tonic's pitch class and the mode."""

    tonic: int
    mode: Mode

    @property
    def name(self) -> str:
        """As said aloud: ``E minor``."""
        return f"{PITCH_NAMES[self.mode][self.tonic]} {self.mode}"

    @property
    def scale(self) -> frozenset[int]:
        """The pitch classes of the key."""
        return frozenset((self.tonic + step) % 12 for step in SCALES[self.mode])


@dataclass(frozen=True)
class Chord:
    """A chord: root pitch class and a quality from ``QUALITIES``."""

    root: int
    quality: str

    @property
    def intervals(self) -> tuple[int, ...]:
        """Semitones of the chord tones above the root."""
        return QUALITIES[self.quality][1]

    @property
    def tones(self) -> frozenset[int]:
        """Pitch classes of the chord tones."""
        return frozenset((self.root + step) % 12 for step in self.intervals)

    def name(self, key: Key) -> str:
        """Harte's name, spelled for the key: ``E:min7``."""
        return f"{PITCH_NAMES[key.mode][self.root]}:{QUALITIES[self.quality][0]}"


def parse_chord(symbol: str) -> Chord:
    """Read a chord symbol (``Bbmaj7``); ValueError for one that is not known."""
    match = _SYMBOL.fullmatch(symbol)
    if not match or match[2] not in QUALITIES:
        raise ValueError(f"'{symbol}' is not a chord symbol this band knows.")
    accidental = {"#": 1, "b": -1}.get(match[1][1:], 0)
    return Chord((_NATURAL[match[1][0]] + accidental) % 12, match[2])


def parse_progression(text: str, key: Key) -> tuple[tuple[Chord, ...], ...]:
    """Read a progression and move it to a key.

    ``text`` is written in C major or A minor, bars apart by spaces, chords within a bar by commas:
    ``"Am7 Dm7,G7 Cmaj7"``. Returns the chords of each bar.
    """
    shift = key.tonic - (0 if key.mode == "major" else 9)
    bars = []
    for bar in text.split():
        chords = (parse_chord(symbol) for symbol in bar.split(","))
        bars.append(tuple(Chord((chord.root + shift) % 12, chord.quality) for chord in chords))
    return tuple(bars)


def nearest_pitch(pitch_class: int, near: float, low: int, high: int) -> int:
    """The pitch of a class nearest to ``near`` within [low, high]."""
    candidates = [pitch for pitch in range(low, high + 1) if pitch % 12 == pitch_class % 12]
    return min(candidates, key=lambda pitch: (abs(pitch - near), pitch))


def bass_pitch(chord: Chord, degree: str, previous: int) -> int:
    """The bass note for a degree of a chord: R root, 3, 5, 7 (the octave where there is none), 8 octave.

    The root stays in the lower octave, the others lie above it, all of them within ``BASS_RANGE``.
    """
    low, high = BASS_RANGE
    root = nearest_pitch(chord.root, min(previous, 36), low, low + 11)
    steps = {"R": 0, "3": chord.intervals[1], "5": _fifth(chord), "8": 12, "7": 12}
    if len(chord.intervals) > 3:
        steps["7"] = chord.intervals[3]
    pitch = root + steps[degree]
    return pitch if pitch <= high else pitch - 12


def _fifth(chord: Chord) -> int:
    return chord.intervals[min(2, len(chord.intervals) - 1)]


def voice_chord(chord: Chord, previous: tuple[int, ...], low: int, size: int) -> tuple[int, ...]:
    """A close voicing from ``low`` upwards that moves least from the previous one.

    Chords with more than ``size`` tones leave out the root (the bass has it), then the fifth.
    """
    tones = [(chord.root + step) % 12 for step in chord.intervals]
    if len(tones) > size:
        tones = tones[1:]
    if len(tones) > size:
        tones.remove((chord.root + _fifth(chord)) % 12)
    options = []
    for first in range(low, low + 12):
        if first % 12 in tones:
            above = sorted((tone - first) % 12 for tone in tones)
            options.append(tuple(first + step for step in above))
    centre = float(np.mean(previous)) if previous else low + 8.0
    return min(options, key=lambda voicing: abs(float(np.mean(voicing)) - centre))
