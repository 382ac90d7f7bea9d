"""What a style is: tempo, grooves, chord progressions, instruments and words.

Grooves are text, one character a sixteenth note, 16 to a bar of 4/4; a longer pattern runs over several bars.

- drums: ``X`` accent, ``x`` normal, ``o`` ghost note, ``.`` nothing.
- bass: ``R`` root, ``3 5 7`` chord degrees, ``8`` octave, ``a`` a semitone approach to the root of the
  next section (``5`` within one),
  ``-`` hold, ``.`` rest. Every bar starts with ``R``.
- chords: ``X``/``x``/``o`` strike, ``-`` hold, ``.`` rest. Arpeggios: digits pick a chord tone.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.demo.band.harmony import Mode

STEPS = 16  # sixteenth notes in a bar


@dataclass(frozen=True)
class BandLayer:
    """One instrument of the ``other`` stem and what it plays.

    Attributes:
        instrument: a name from ``timbres.INSTRUMENTS``.
        patterns: grooves to choose from, by song.
        low: lowest pitch of its voicings (MIDI).
        size: number of notes in a chord.
        pan: -1 left … 1 right.
        level: gain relative to the other layers.
        sections: the kinds of section in which it plays.
        arpeggio: patterns pick single chord tones instead of striking the chord.
    """

    instrument: str
    patterns: tuple[str, ...]
    low: int = 55
    size: int = 3
    pan: float = 0.0
    level: float = 1.0
    sections: tuple[str, ...] = ("intro", "verse", "chorus", "break")
    arpeggio: bool = False


@dataclass(frozen=True)
class Style:
    """Everything that makes a style; see the module for the notation."""

    name: str
    tempo: tuple[int, int]
    swing: float
    progressions: dict[Mode, tuple[str, ...]]
    drums: tuple[dict[str, str], ...]
    chorus_drums: dict[str, str]
    fills: tuple[dict[str, str], ...]
    kit: str
    bass: tuple[str, ...]
    bass_timbre: str
    layers: tuple[BandLayer, ...]
    lead: str
    moods: tuple[str, ...]
    bass_words: tuple[str, ...]
    drum_words: tuple[str, ...]
    noun: str
    tags: tuple[str, ...]


# Fills of drummers with sticks, shared by several styles.
GROOVE_FILLS = (
    {"kick": "X.....x...x.....", "snare": "....X..o.oX.xxXx", "hat": "x.x.x.x........."},
    {"kick": "X.......x.......", "snare": "....X...x.xx.x.X", "tom_low": ".............x.."},
)
