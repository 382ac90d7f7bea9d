"""The written music: sections, the beat grid, chord spans, and the notes that the parts are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.demo.band.harmony import Chord, Key, parse_progression
from pipelines.demo.band.style import STEPS, Style

BEATS = 4  # a bar
# Once round the form; longer songs go round again from the first verse.
_FORM = (("intro", 2), ("verse", 4), ("chorus", 4), ("verse", 4), ("break", 2), ("chorus", 4))
_SHORT = 7  # songs of fewer bars start with the verse


@dataclass(frozen=True)
class Note:
    """A pitched note: start and end in seconds, MIDI pitch, velocity 0 … 1."""

    start: float
    end: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Hit:
    """A drum hit: time in seconds, drum, velocity 0 … 1."""

    time: float
    drum: str
    velocity: float


@dataclass(frozen=True)
class Section:
    """Bars ``first`` … ``first + bars - 1``: intro, verse, chorus or break; ``silent`` names a part that rests."""

    kind: str
    first: int
    bars: int
    silent: str = ""


@dataclass(frozen=True)
class Arrangement:
    """The frame that all parts share.

    Attributes:
        style, key: what is played, and where.
        tempo: beats a minute.
        seconds: length of the song.
        sections: in order, covering all bars.
        chords: of each bar, one or two; one more bar, the tonic, ends the song.
    """

    style: Style
    key: Key
    tempo: int
    seconds: float
    sections: tuple[Section, ...]
    chords: tuple[tuple[Chord, ...], ...]

    @property
    def bar(self) -> float:
        """Seconds a bar."""
        return BEATS * 60.0 / self.tempo

    @property
    def bars(self) -> int:
        """Bars before the last chord."""
        return len(self.chords) - 1

    @property
    def beats(self) -> tuple[float, ...]:
        """Times of the beats, the one of the last chord included."""
        times = (beat * 60.0 / self.tempo for beat in range(self.bars * BEATS + 1))
        return tuple(time for time in times if time < self.seconds)

    @property
    def downbeats(self) -> tuple[float, ...]:
        """Times of the first beats of bars."""
        return self.beats[::BEATS]

    def time(self, bar: int, step: int) -> float:
        """When a sixteenth is played, in seconds; every other one is late by the style's swing."""
        return bar * self.bar + (step + self.style.swing * (step % 2)) * self.bar / STEPS

    def chord(self, bar: int, step: int) -> Chord:
        """The chord that sounds at a sixteenth."""
        chords = self.chords[bar]
        return chords[step * len(chords) // STEPS]

    def changes(self, bar: int, step: int) -> bool:
        """Whether a bar's second chord starts at this sixteenth."""
        return len(self.chords[bar]) > 1 and step == STEPS // 2

    def spans(self) -> list[tuple[float, float, Chord]]:
        """Chords with start and end in seconds, equal neighbours joined, up to the end of the song."""
        joined: list[tuple[float, float, Chord]] = []
        for bar, chords in enumerate(self.chords):
            for part, chord in enumerate(chords):
                start = (bar + part / len(chords)) * self.bar
                end = self.seconds if bar == self.bars else start + self.bar / len(chords)
                if joined and joined[-1][2] == chord:
                    start = joined.pop()[0]
                if start < self.seconds:
                    joined.append((start, min(end, self.seconds), chord))
        return joined


def write_arrangement(style: Style, seconds: float, rng: np.random.Generator) -> Arrangement:
    """Choose key, tempo, form and progressions for a song that lasts ``seconds``."""
    tempo = int(rng.integers(style.tempo[0], style.tempo[1] + 1))
    mode = tuple(style.progressions)[int(rng.integers(len(style.progressions)))]
    key = Key(int(rng.integers(12)), mode)
    bar = BEATS * 60.0 / tempo
    bars = max(1, int(seconds / bar - 0.25))
    written = [parse_progression(text, key) for text in style.progressions[mode]]
    verse, chorus = (written[i] for i in rng.choice(len(written), 2, replace=len(written) < 2))
    sections = _sections(bars, rng)
    chords: list[tuple[Chord, ...]] = []
    for section in sections:
        progression = chorus if section.kind == "chorus" else verse
        chords += [progression[i % len(progression)] for i in range(section.bars)]
    tonic = Chord(key.tonic, "" if mode == "major" else "m")
    return Arrangement(style, key, tempo, seconds, sections, (*chords, (tonic,)))


def _sections(bars: int, rng: np.random.Generator) -> tuple[Section, ...]:
    sections: list[Section] = []
    turn = 1 if bars < _SHORT else 0
    first = 0
    while first < bars:
        kind, length = _FORM[turn]
        silent = str(rng.choice(["bass", "drums", ""])) if kind in ("intro", "break") else ""
        sections.append(Section(kind, first, min(length, bars - first), silent))
        first += length
        turn = turn + 1 if turn + 1 < len(_FORM) else 1
    return tuple(sections)
