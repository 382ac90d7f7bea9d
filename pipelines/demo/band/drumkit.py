"""Drum kits: every drum synthesized in a few takes, so that repeated hits are not identical."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipelines.demo.band.synth import RATE, Samples, db, decay, envelope, filtered, noise, pan, partials, sweep

TAKES = 3
DRUMS = (
    "kick", "snare", "clap", "rim", "hat", "open", "ride", "crash", "shaker", "tom_high", "tom_low",
)  # fmt: skip


@dataclass(frozen=True)
class Kit:
    """How a kit is tuned.

    Attributes:
        kick: end pitch in Hz, start pitch in Hz, ring in seconds, click level in dB.
        snare: pitch in Hz, ring of the shell and of the wires in seconds, level of the wires in dB.
        hat: lower edge of the cymbals in Hz, ring of the closed hat in seconds.
        tom: pitch of the high tom in Hz.
        room: amount of room.
        dull: the kit's upper edge in Hz.
        thump: level of the kick in dB.
        drive: soft clipping of the whole kit.
    """

    kick: tuple[float, float, float, float] = (52.0, 190.0, 0.35, -14.0)
    snare: tuple[float, float, float, float] = (190.0, 0.14, 0.22, 0.0)
    hat: tuple[float, float] = (7000.0, 0.07)
    tom: float = 150.0
    room: float = 0.12
    dull: float = 18_000.0
    drive: float = 1.5
    thump: float = -1.0


KITS: dict[str, Kit] = {
    "tight": Kit(kick=(58, 200, 0.22, -10), snare=(215, 0.10, 0.16, 0.0), hat=(7500, 0.05), room=0.06),
    "club": Kit(kick=(48, 260, 0.32, -12), snare=(200, 0.08, 0.18, 2.0), hat=(8000, 0.06), room=0.10, drive=2.2),
    "room": Kit(kick=(55, 170, 0.40, -14), snare=(180, 0.20, 0.32, 0.0), hat=(6000, 0.09), room=0.40, thump=-3.0),
    "soft": Kit(
        kick=(62, 130, 0.25, -24), snare=(200, 0.12, 0.25, 3.0), hat=(6500, 0.06), room=0.18, drive=0.8, thump=-9.0
    ),
    "dub": Kit(kick=(50, 160, 0.35, -18), snare=(240, 0.16, 0.18, -3.0), hat=(6500, 0.05), room=0.22, thump=-4.0),
    "gated": Kit(kick=(50, 220, 0.28, -10), snare=(185, 0.12, 0.45, 3.0), hat=(8500, 0.05), room=0.30, drive=2.0),
    "dusty": Kit(
        kick=(54, 150, 0.30, -16),
        snare=(200, 0.12, 0.18, 0.0),
        hat=(5500, 0.06),
        room=0.10,
        dull=6500,
        drive=2.5,
        thump=-3.0,
    ),
}


def build_kit(name: str, rng: np.random.Generator) -> tuple[Kit, dict[str, list[Samples]]]:
    """A kit tuned a little differently for each song, and the takes [2, n] of its drums.

    Returns the kit and, for each drum, ``TAKES`` stereo sounds with a peak of 1.
    """
    plain = KITS[name]
    pitch, shell, wires, level = plain.snare
    tuned = replace(
        plain,
        kick=(plain.kick[0] * rng.uniform(0.9, 1.12), *plain.kick[1:]),
        snare=(pitch * rng.uniform(0.88, 1.15), shell, wires * rng.uniform(0.8, 1.2), level),
        hat=(plain.hat[0] * rng.uniform(0.85, 1.15), plain.hat[1] * rng.uniform(0.8, 1.25)),
        tom=plain.tom * rng.uniform(0.9, 1.15),
    )  # fmt: skip
    side = 1.0 if rng.random() < 0.5 else -1.0  # drummer's or audience's view
    cymbals = _cymbal_modes(rng)
    sounds: dict[str, Callable[[], Samples]] = {
        "kick": lambda: pan(_kick(tuned, rng), 0.0),
        "snare": lambda: pan(_snare(tuned, rng), 0.05 * side),
        "clap": lambda: pan(_clap(tuned, rng), -0.1 * side),
        "rim": lambda: pan(_rim(tuned, rng), 0.2 * side),
        "hat": lambda: pan(_cymbal(tuned.hat[0], tuned.hat[1], cymbals, rng), 0.35 * side),
        "open": lambda: pan(_cymbal(tuned.hat[0], tuned.hat[1] * 6, cymbals, rng), 0.35 * side),
        "ride": lambda: pan(_cymbal(tuned.hat[0] * 0.6, 1.0, cymbals, rng, bell=0.5), -0.4 * side),
        "crash": lambda: pan(_cymbal(tuned.hat[0] * 0.45, 1.8, cymbals, rng), -0.25 * side),
        "shaker": lambda: pan(_shaker(tuned, rng), -0.5 * side),
        "tom_high": lambda: pan(_tom(tuned.tom, rng), 0.3 * side),
        "tom_low": lambda: pan(_tom(tuned.tom * 0.62, rng), -0.3 * side),
    }
    return tuned, {drum: [_finish(sounds[drum](), kit_edge=tuned.dull) for _ in range(TAKES)] for drum in DRUMS}


def _finish(sound: Samples, kit_edge: float) -> Samples:
    padded = np.pad(sound, ((0, 0), (0, 256)))  # the filter's ringing must not come round to the start
    dulled = filtered(padded, high=kit_edge)
    return (dulled / np.max(np.abs(dulled))).astype(np.float32)


def _length(seconds: float) -> int:
    return int(seconds * RATE)


def _kick(kit: Kit, rng: np.random.Generator) -> Samples:
    end, start, ring, click = kit.kick
    n = _length(ring * 1.3)
    body = sweep(start, end, 0.028, n) * decay(n, ring) * envelope(n, 0.0008, ring * 0.3)
    tick = noise(rng, n, 1500, min(7000.0, kit.dull)) * decay(n, 0.025) * db(click)
    return body + tick


def _snare(kit: Kit, rng: np.random.Generator) -> Samples:
    pitch, shell, wires, level = kit.snare
    n = _length(max(shell, wires) * 1.2)
    modes = np.array([1.0, 1.59, 2.14])
    body = partials(pitch * modes, np.array([0.8, 0.5, 0.25]), np.full(3, 6.91 / shell), np.zeros(3), n)
    rattle = noise(rng, n, 900, min(9000.0, kit.dull), 1) * decay(n, wires) * 0.35 * db(level)
    return (body + rattle) * envelope(n, 0.0006, 0.03)


def _clap(kit: Kit, rng: np.random.Generator) -> Samples:
    n = _length(kit.snare[2] + 0.1)
    hands = np.zeros(n, np.float32)
    for offset, gain in ((0.0, 0.7), (0.010, 0.6), (0.021, 1.0)):
        at = _length(offset)
        hands[at:] += gain * decay(n - at, 0.02 if gain < 1 else kit.snare[2])
    return noise(rng, n, 800, min(3500.0, kit.dull)) * hands


def _rim(kit: Kit, rng: np.random.Generator) -> Samples:
    n = _length(0.09)
    tone = partials(
        kit.snare[0] * np.array([2.3, 4.6, 8.1]), np.array([0.4, 1.0, 0.4]), np.full(3, 120.0), np.zeros(3), n
    )
    return (tone + noise(rng, n, 1500, 6000) * decay(n, 0.02) * 0.4) * envelope(n, 0.0004, 0.01)


def _tom(pitch: float, rng: np.random.Generator) -> Samples:
    n = _length(0.45)
    body = sweep(pitch * 1.5, pitch, 0.05, n) * decay(n, 0.4) * envelope(n, 0.001, 0.1)
    return body + noise(rng, n, 300, 3000) * decay(n, 0.05) * 0.15


def _cymbal_modes(rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.uniform(2200.0, 15_000.0, 24))


def _cymbal(edge: float, ring: float, modes: np.ndarray, rng: np.random.Generator, bell: float = 0.25) -> Samples:
    n = _length(ring * 1.1) + 400
    metal = partials(
        modes, 1 / (1 + (edge / modes) ** 4), np.full(len(modes), 6.91 / ring), rng.uniform(0, 6.28, len(modes)), n
    )
    hiss = noise(rng, n, edge, 16_000.0, 3) * decay(n, ring)
    return (metal * bell + hiss) * envelope(n, 0.0006, 0.01)


def _shaker(kit: Kit, rng: np.random.Generator) -> Samples:
    n = _length(0.09)
    return noise(rng, n, 4500, min(12_000.0, kit.dull)) * envelope(n, 0.015, 0.06)
