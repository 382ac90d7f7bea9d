"""A song as the engine is asked for it, and the given sound that stays in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from models.lm.engine.request import Request

FADE = 320
"""Samples over which one sound turns into another, inside of what was written: 10 ms at 32 kHz."""


@dataclass(frozen=True)
class Draft:
    """A song that the engine can be asked for, and the sound that stays.

    Args:
        request: what to ask.
        samples: length of the song.
        sound: mono samples of stems as they were given, or silent; not of those that are written whole.
        changed: which of them get a new sound.
        written: from which sample to which.
    """

    request: Request
    samples: int
    sound: dict[str, np.ndarray] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    written: slice = field(default_factory=lambda: slice(0, 0))

    def decodes(self, name: str) -> bool:
        """Whether a stem's sound comes from codes, at least in part."""
        return name not in self.sound or name in self.changed

    def kept(self, name: str, first: int, count: int) -> np.ndarray:
        """Samples of a stem that stays as it is."""
        return self.sound[name][first : first + count]

    def heard(self, name: str, first: int, decoded: np.ndarray) -> np.ndarray:
        """Samples of a stem from ``first`` on: as decoded where it was written, and as it was elsewhere.

        The old sound stays to the bit before and after what was written.
        """
        if name not in self.sound:
            return decoded
        share = self._share[first : first + len(decoded)]
        return self.kept(name, first, len(decoded)) * (1 - share) + decoded * share

    @cached_property
    def _share(self) -> np.ndarray:
        return new_share(self.samples, self.written, FADE)


def new_share(samples: int, written: slice, fade: int) -> np.ndarray:
    """How much of the new sound is heard at each sample, 0 to 1: ``float32 [samples]``.

    Args:
        samples: length of the song.
        written: from which sample to which the sound is new.
        fade: samples at each end of it, but for the song's own ends, in which one turns into the other.
    """
    start, stop = written.start, min(written.stop, samples)
    share = np.zeros(samples, dtype=np.float32)
    share[start:stop] = 1
    fade = min(fade, (stop - start) // 2)
    rise = np.linspace(0, 1, fade, dtype=np.float32)
    if start > 0:
        share[start : start + fade] = rise
    if stop < samples:
        share[stop - fade : stop] = rise[::-1]
    return share


def mirrored(sound: np.ndarray, samples: int, fade: int = FADE) -> np.ndarray:
    """A sound ``[..., n]`` made longer: after its end come its last samples backwards, then silence.

    What fades in there meets a sound with the steps of the one before, so that nothing clicks.
    """
    more = samples - sound.shape[-1]
    ends = [(0, 0)] * (sound.ndim - 1)
    reflected = np.pad(sound, [*ends, (0, min(fade, more))], mode="reflect")
    return np.pad(reflected, [*ends, (0, samples - reflected.shape[-1])])
