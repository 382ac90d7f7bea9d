"""The band's pitched instruments, each a recipe of partials, and the cached notes they play."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.demo.band.synth import RATE, Samples, db, envelope, noise, partials

_OCTAVE_DECAY = 0.35  # how much faster notes die an octave higher, as a power of frequency


@dataclass(frozen=True)
class Instrument:
    """An additive recipe.

    Attributes:
        tilt: fall of partial amplitudes, dB an octave.
        cutoff: partials above it fall by a further 12 dB an octave, Hz.
        partial_count: how many partials at most.
        even: gain of the even partials (0 = a hollow, clarinet-like tone).
        t60: seconds in which the fundamental of A3 dies away by 60 dB; 0 = sustained.
        damping: how much faster partial k dies: t60 / k ** damping.
        stretch: inharmonicity of a string, f_k = k f (1 + stretch k²) ** 0.5.
        extra: more partials as (ratio, level in dB, t60): tines, bars, drawbars.
        attack, release: seconds.
        detune: cents between the two voices of the left and of the right side; 0 = one voice, mono.
        knock: level of a short noise at the start, dB (−inf = none), and its centre in Hz.
        drive: soft clipping of the whole layer, 0 = none.
        tremolo: depth 0 … 1 of a slow level wobble, opposite left and right.
        wet: amount of room.
    """

    tilt: float = -6.0
    cutoff: float = 20_000.0
    partial_count: int = 40
    even: float = 1.0
    t60: float = 0.0
    damping: float = 0.5
    stretch: float = 0.0
    extra: tuple[tuple[float, float, float], ...] = ()
    attack: float = 0.004
    release: float = 0.04
    detune: float = 0.0
    knock: tuple[float, float] = (float("-inf"), 2000.0)
    drive: float = 0.0
    tremolo: float = 0.0
    wet: float = 0.15


_TINE = ((6.9, -26.0, 0.7), (14.1, -34.0, 0.25))
_DRAWBARS = ((0.5, -6.0, 0.0), (1.5, -8.0, 0.0), (2.0, -3.0, 0.0), (3.0, -9.0, 0.0), (4.0, -12.0, 0.0))
_BARS = ((4.0, -14.0, 1.1), (9.2, -26.0, 0.3))
_BELL = ((2.76, -8.0, 2.0), (5.4, -14.0, 1.0), (8.9, -20.0, 0.5))

INSTRUMENTS: dict[str, Instrument] = {
    # Basses
    "slap bass": Instrument(tilt=-5, cutoff=2600, t60=2.2, damping=0.8, knock=(-8.0, 2400.0), release=0.03),
    "synth bass": Instrument(tilt=-7, cutoff=1000, t60=3.0, damping=0.6, even=0.6, release=0.03),
    "picked bass": Instrument(tilt=-6, cutoff=1800, t60=5.0, damping=0.7, knock=(-16.0, 1800.0), release=0.05),
    "upright bass": Instrument(tilt=-8, cutoff=1000, t60=2.0, damping=0.7, knock=(-14.0, 500.0), release=0.08),
    "dub bass": Instrument(tilt=-9, cutoff=700, t60=4.0, damping=0.5, release=0.06, attack=0.008),
    "saw bass": Instrument(tilt=-6, cutoff=1100, t60=2.5, damping=0.6, release=0.02),
    "sub bass": Instrument(tilt=-11, cutoff=700, t60=5.0, damping=0.4, release=0.08, attack=0.01),
    # Keys, guitars, pads
    "electric piano": Instrument(
        tilt=-13, partial_count=10, t60=4.0, damping=0.6, extra=_TINE, release=0.12, tremolo=0.35, wet=0.12
    ),
    "piano": Instrument(
        tilt=-7,
        cutoff=2600,
        t60=5.0,
        damping=0.55,
        stretch=4e-4,
        detune=2.0,
        knock=(-24.0, 900.0),
        release=0.15,
        wet=0.25,
    ),
    "house piano": Instrument(
        tilt=-5,
        cutoff=4200,
        t60=3.0,
        damping=0.5,
        stretch=3e-4,
        detune=3.0,
        knock=(-22.0, 1500.0),
        release=0.08,
        wet=0.2,
    ),
    "wah guitar": Instrument(tilt=-3, cutoff=2200, t60=0.5, damping=0.4, knock=(-12.0, 2600.0), release=0.02),
    "clean guitar": Instrument(
        tilt=-6, cutoff=3200, t60=3.0, damping=0.8, detune=4.0, knock=(-20.0, 2500.0), release=0.2, wet=0.35
    ),
    "skank guitar": Instrument(tilt=-4, cutoff=3000, t60=0.45, damping=0.5, knock=(-16.0, 2200.0), wet=0.25),
    "nylon guitar": Instrument(
        tilt=-8, cutoff=2400, t60=2.2, damping=0.9, detune=1.5, knock=(-18.0, 700.0), release=0.08, wet=0.15
    ),
    "distorted guitar": Instrument(tilt=-5, cutoff=2800, t60=8.0, damping=0.3, detune=6.0, drive=9.0, wet=0.2),
    "lead guitar": Instrument(
        tilt=-4, cutoff=2600, t60=9.0, damping=0.3, drive=5.0, detune=3.0, attack=0.01, release=0.1, wet=0.35
    ),
    "organ": Instrument(tilt=-20, partial_count=2, extra=_DRAWBARS, attack=0.006, tremolo=0.25, wet=0.15),
    "brass": Instrument(tilt=-5, cutoff=2400, detune=7.0, attack=0.035, release=0.05, wet=0.2),
    "pad": Instrument(tilt=-8, cutoff=1600, detune=9.0, attack=0.25, release=0.35, wet=0.45),
    "saw pad": Instrument(tilt=-6, cutoff=2600, detune=12.0, attack=0.08, release=0.25, wet=0.4),
    "strings": Instrument(tilt=-6, cutoff=3000, detune=10.0, attack=0.2, release=0.3, wet=0.45),
    "pluck": Instrument(tilt=-6, cutoff=3500, t60=0.7, damping=0.7, detune=5.0, release=0.05, wet=0.4),
    "arp synth": Instrument(tilt=-6, cutoff=2800, even=0.3, t60=0.8, damping=0.5, detune=6.0, wet=0.35),
    "vibraphone": Instrument(
        tilt=-30, partial_count=1, t60=3.5, extra=_BARS, tremolo=0.4, release=0.3, detune=1.0, wet=0.3
    ),
    "bells": Instrument(tilt=-30, partial_count=1, t60=4.0, extra=_BELL, release=0.4, detune=2.0, wet=0.5),
    # Leads
    "lead synth": Instrument(tilt=-6, cutoff=3500, detune=7.0, attack=0.02, release=0.08, wet=0.35),
    "flute": Instrument(tilt=-14, partial_count=8, attack=0.05, release=0.08, knock=(-26.0, 3000.0), wet=0.4),
    "melodica": Instrument(tilt=-4, cutoff=2500, even=0.5, attack=0.03, release=0.06, wet=0.3),
}


@dataclass
class Player:
    """Plays notes of one instrument; each distinct (pitch, length, loudness) is rendered once."""

    instrument: Instrument
    seed: int
    _notes: dict[tuple[int, int, int], Samples] = field(default_factory=dict)

    @classmethod
    def hire(cls, name: str, rng: np.random.Generator) -> Player:
        """A player whose instrument differs a little from song to song."""
        plain = INSTRUMENTS[name]
        own = replace(
            plain,
            tilt=plain.tilt + rng.uniform(-1.0, 1.0),
            cutoff=plain.cutoff * 2 ** rng.uniform(-0.35, 0.35),
            t60=plain.t60 * 2 ** rng.uniform(-0.3, 0.3),
            detune=plain.detune * 2 ** rng.uniform(-0.4, 0.4),
        )
        return cls(own, int(rng.integers(2**31)))

    def note(self, pitch: int, length: int, velocity: float) -> Samples:
        """One note [1 or 2, samples], gated after ``length`` samples; velocity 0 … 1 changes its colour too."""
        touch = round(velocity * 4)
        key = (pitch, length, touch)
        if key not in self._notes:
            self._notes[key] = self._render(pitch, length, touch / 4)
        return self._notes[key]

    def _render(self, pitch: int, length: int, velocity: float) -> Samples:
        tone = self.instrument
        total = length + int(tone.release * RATE)
        if tone.t60:  # nothing is left to hear after the fundamental has died
            total = min(total, int(self._t60(440.0 * 2 ** ((pitch - 69) / 12)) * RATE) + 1)
        rng = np.random.default_rng([self.seed, pitch])
        cents = (-tone.detune, tone.detune) if tone.detune else (0.0,)
        sides = np.stack([self._side(pitch, side, total, velocity, rng) for side in cents])
        level, centre = tone.knock
        if np.isfinite(level):
            knock = noise(rng, min(total, int(0.06 * RATE)), centre / 1.6, centre * 1.6)
            sides[:, : len(knock)] += knock * envelope(len(knock), 0.0005, 0.055) * db(level) * velocity
        return sides * envelope(total, tone.attack, tone.release) * np.float32(0.3 + 0.7 * velocity)

    def _side(self, pitch: int, cents: float, total: int, velocity: float, rng: np.random.Generator) -> Samples:
        tone = self.instrument
        base = 440.0 * 2 ** ((pitch - 69 + cents / 100) / 12)
        k = np.arange(1, max(2, min(tone.partial_count, int(16_000 / base)) + 1), dtype=np.float64)
        frequency = base * k * np.sqrt(1 + tone.stretch * k**2)
        level = k ** (tone.tilt / 6.02) * np.where(k % 2 == 0, tone.even, 1.0)
        cutoff = tone.cutoff * (0.5 + 0.5 * velocity)
        level /= 1 + (frequency / cutoff) ** 2
        t60 = self._t60(base) / k**tone.damping if tone.t60 else np.full_like(k, np.inf)
        for ratio, gain, time in tone.extra:
            frequency = np.append(frequency, base * ratio)
            level = np.append(level, db(gain) * (0.4 + 0.6 * velocity))
            t60 = np.append(t60, time or np.inf)
        phases = rng.uniform(0, 2 * np.pi, len(frequency))
        return partials(frequency, level / np.sqrt(np.sum(level**2)), 6.91 / t60, phases, total)

    def _t60(self, frequency: float) -> float:
        return self.instrument.t60 * (220.0 / frequency) ** _OCTAVE_DECAY


def wobble(stereo: Samples, depth: float, rate: float) -> Samples:
    """Tremolo that moves between left and right; ``rate`` in Hz."""
    phase = np.sin(2 * np.pi * rate * np.arange(stereo.shape[1]) / RATE).astype(np.float32)
    return stereo * (1 - depth / 2 + depth / 2 * np.stack([phase, -phase]))
