"""What each member of the band plays over an arrangement: drums, bass, chords and melody."""

from __future__ import annotations

import numpy as np

from pipelines.demo.band.harmony import BASS_RANGE, Chord, Key, bass_pitch, voice_chord
from pipelines.demo.band.score import Arrangement, Hit, Note, Section
from pipelines.demo.band.style import STEPS, BandLayer

_VELOCITY = {"X": 1.0, "x": 0.75, "o": 0.4}
_DYNAMICS = {"intro": 0.8, "verse": 0.88, "chorus": 1.0, "break": 0.8}
_INTRO_DRUMS = ("kick", "hat", "shaker", "ride", "rim")
_GHOST_SKIP = 0.25  # share of ghost notes left out, so that bars differ
_CRASH_SHARE = 0.6  # of section starts
# Two bars of melody: onset, hold, rest. Motifs are drawn from these.
_RHYTHMS = (
    "....x-x-x---x-..x---x-----------",
    "x---..x-x-x-x---x-x-x-------....",
    "..x-x-x-....x-x-x---x-------....",
    "x-----x-x---....x-----x-x-------",
    "..x-x-x-x-x-x---....x-x-x-------",
    "x-x-x-x-........x-x-x-----------",
)


def play_drums(arrangement: Arrangement, rng: np.random.Generator) -> list[Hit]:
    """Groove by section, a fill at the end of each, often a crash where one starts."""
    style = arrangement.style
    verse = style.drums[int(rng.integers(len(style.drums)))]
    hits: list[Hit] = []
    for number, section in enumerate(arrangement.sections):
        if section.silent == "drums":
            continue
        groove = style.chorus_drums if section.kind == "chorus" else verse
        if section.kind == "intro":
            groove = {drum: pattern for drum, pattern in groove.items() if drum in _INTRO_DRUMS}
        for bar in range(section.first, section.first + section.bars):
            last = bar == section.first + section.bars - 1
            played = style.fills[int(rng.integers(len(style.fills)))] if last else groove
            hits += _drum_bar(arrangement, bar, played, _DYNAMICS[section.kind], rng)
        if number and section.kind in ("verse", "chorus") and rng.random() < _CRASH_SHARE:
            hits.append(Hit(arrangement.time(section.first, 0), "crash", 0.6))
    end = arrangement.bars * arrangement.bar
    return [*hits, Hit(end, "kick", 1.0), Hit(end, "crash", 0.8)]


def _drum_bar(
    arrangement: Arrangement, bar: int, groove: dict[str, str], dynamics: float, rng: np.random.Generator
) -> list[Hit]:
    hits = []
    for drum, pattern in groove.items():
        offset = bar * STEPS % len(pattern)
        for step, mark in enumerate(pattern[offset : offset + STEPS]):
            if mark == "." or (mark == "o" and rng.random() < _GHOST_SKIP):
                continue
            late = float(np.clip(rng.normal(0, 0.002), -0.005, 0.005))
            velocity = _VELOCITY[mark] * dynamics * rng.uniform(0.88, 1.0)
            hits.append(Hit(max(0.0, arrangement.time(bar, step) + late), drum, velocity))
    return hits


def play_bass(arrangement: Arrangement, rng: np.random.Generator) -> list[Note]:
    """A line for verses, another for choruses; chord tones, and a step into the next section."""
    lines = arrangement.style.bass
    verse, chorus = (lines[i] for i in rng.choice(len(lines), 2, replace=False))
    notes: list[Note] = []
    previous = int(rng.integers(BASS_RANGE[0], BASS_RANGE[0] + 12))
    for section in arrangement.sections:
        if section.silent == "bass":
            continue
        line = chorus if section.kind == "chorus" else verse
        for bar in range(section.first, section.first + section.bars):
            last = bar == section.first + section.bars - 1
            written = line if last else line.replace("a", "5")  # steps lead into the next section only
            for step, steps, mark in onsets(_with_changes(arrangement, bar, written, "R")):
                pitch = _bass_note(arrangement, bar, step, mark, previous)
                start = arrangement.time(bar, step) + float(np.clip(rng.normal(0, 0.003), 0.0, 0.008))
                end = arrangement.time(bar, step + steps) - 0.01
                velocity = _DYNAMICS[section.kind] * rng.uniform(0.8, 1.0) * (1.0 if step == 0 else 0.9)
                notes.append(Note(start, end, pitch, velocity))
                previous = pitch
    final = bass_pitch(arrangement.chords[-1][0], "R", previous)
    return [*notes, Note(arrangement.bars * arrangement.bar, arrangement.seconds, final, 1.0)]


def _bass_note(arrangement: Arrangement, bar: int, step: int, mark: str, previous: int) -> int:
    if mark != "a":
        return bass_pitch(arrangement.chord(bar, step), mark, previous)
    goal = bass_pitch(arrangement.chord(bar + 1, 0), "R", previous)
    return goal + 1 if goal == BASS_RANGE[0] else goal - 1


def play_layer(arrangement: Arrangement, layer: BandLayer, rng: np.random.Generator) -> list[Note]:
    """Chords or arpeggios of one instrument; voicings move as little as they can."""
    verse, chorus = (layer.patterns[i] for i in rng.integers(len(layer.patterns), size=2))
    notes: list[Note] = []
    voicing: tuple[int, ...] = ()
    for section in arrangement.sections:
        if section.kind not in layer.sections:
            continue
        pattern = chorus if section.kind == "chorus" else verse
        for bar in range(section.first, section.first + section.bars):
            offset = (bar - section.first) * STEPS % len(pattern)
            written = pattern[offset : offset + STEPS]
            if not layer.arpeggio:
                written = _with_changes(arrangement, bar, written, "x")
            for step, steps, mark in onsets(written):
                voicing = voice_chord(arrangement.chord(bar, step), voicing, layer.low, layer.size)
                start, end = arrangement.time(bar, step), arrangement.time(bar, step + steps)
                loud = _VELOCITY.get(mark, 0.75) * _DYNAMICS[section.kind] * rng.uniform(0.9, 1.0)
                pitches = (voicing[int(mark) % len(voicing)],) if layer.arpeggio else voicing
                notes += _strum(pitches, start, end, loud, rng)
    final = voice_chord(arrangement.chords[-1][0], voicing, layer.low, layer.size)
    return [*notes, *_strum(final, arrangement.bars * arrangement.bar, arrangement.seconds, 0.8, rng)]


def _strum(pitches: tuple[int, ...], start: float, end: float, loud: float, rng: np.random.Generator) -> list[Note]:
    start += float(rng.uniform(0.0, 0.006))
    return [Note(start + 0.003 * i, end, pitch, loud) for i, pitch in enumerate(pitches)]


def play_melody(arrangement: Arrangement, low: int, kinds: tuple[str, ...], rng: np.random.Generator) -> list[Note]:
    """A tune in two-bar phrases within an octave and a half above ``low``, in sections of the given kinds.

    Verse and chorus each have a motif (a rhythm and a contour) that comes back; notes on the beat are chord
    tones, the others lie in the scale.
    """
    motifs = {kind: _motif(rng) for kind in ("verse", "chorus")}
    notes: list[Note] = []
    for section in arrangement.sections:
        if section.kind in kinds:
            rhythm, contour = motifs["chorus" if section.kind == "chorus" else "verse"]
            notes += _sing_section(arrangement, section, rhythm, contour, low)
    return notes


def _motif(rng: np.random.Generator) -> tuple[str, list[int]]:
    rhythm = _RHYTHMS[int(rng.integers(len(_RHYTHMS)))]
    return rhythm, [int(move) for move in rng.choice([-3, -2, -1, 0, 1, 2, 3], len(rhythm))]


def _sing_section(
    arrangement: Arrangement, section: Section, rhythm: str, contour: list[int], low: int
) -> list[Note]:
    notes = []
    pitch = low + 7 + (3 if section.kind == "chorus" else 0)
    for bar in range(section.first, section.first + section.bars):
        half = (bar - section.first) % 2 * STEPS
        for step, steps, _ in onsets(rhythm[half : half + STEPS]):
            wanted = pitch + contour[half + step]
            # The range pulls back what strays.
            wanted += 2 if wanted < low + 2 else -2 if wanted > low + 15 else 0
            pitch = _melody_pitch(arrangement.key, arrangement.chord(bar, step), wanted, strong=step % 4 == 0)
            notes.append(Note(arrangement.time(bar, step), arrangement.time(bar, step + steps), pitch, 0.9))
    return notes


def _melody_pitch(key: Key, chord: Chord, wanted: int, *, strong: bool) -> int:
    allowed = chord.tones if strong else key.scale
    return min(range(wanted - 6, wanted + 7), key=lambda p: (p % 12 not in allowed, abs(p - wanted), p))


def onsets(pattern: str) -> list[tuple[int, int, str]]:
    """(step, length in steps, mark) of every onset in a pattern."""
    found = []
    for step, mark in enumerate(pattern):
        if mark not in ".-":
            rest = pattern[step + 1 :]
            found.append((step, 1 + len(rest) - len(rest.lstrip("-")), mark))
    return found


def _with_changes(arrangement: Arrangement, bar: int, pattern: str, mark: str) -> str:
    """The pattern of a bar, struck again where its second chord comes in."""
    return "".join(mark if arrangement.changes(bar, step) else old for step, old in enumerate(pattern))
