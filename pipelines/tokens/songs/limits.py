"""The length and size that a song may have."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import StemsError

_RATE, _CHANNELS = 48_000, 2


@dataclass(frozen=True)
class SongLimits:
    """The seconds that a song may last, and the megabytes that a file of it may have."""

    min_seconds: float
    max_seconds: float
    max_megabytes: float

    @property
    def max_bytes(self) -> int:
        """Bytes that a file may have."""
        return int(self.max_megabytes * 1e6)

    @property
    def decoded_bytes(self) -> int:
        """Bytes that a file may decode to: the longest song in stereo at 48 kHz, as float32.

        Songs with more channels or higher rates are accepted if they fit.
        """
        return int(self.max_seconds * _RATE * _CHANNELS * 4)

    def __str__(self) -> str:
        return f"{self.min_seconds:g}-{self.max_seconds:g} s, {self.max_megabytes:g} MB"


def length_problem(name: str, seconds: float, limits: SongLimits) -> StemsError | None:
    """What is wrong with a song's length, with code ``too_short`` or ``too_long``; None if nothing is."""
    if seconds < limits.min_seconds:
        return StemsError(
            f"'{name}' lasts {seconds:.1f} s; at least {limits.min_seconds:g} s are needed.",
            "Leave it out, or lower min_seconds.",
            code="too_short",
        )
    if seconds > limits.max_seconds:
        return StemsError(
            f"'{name}' lasts {seconds:.1f} s; at most {limits.max_seconds:g} s is accepted.",
            "Cut it, or raise max_seconds.",
            code="too_long",
        )
    return None
