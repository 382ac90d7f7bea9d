"""What a mixed song holds beside the stems of the model, such as its vocals, and how it stays in the mix."""

from __future__ import annotations

from collections.abc import Iterable

from models.audio.files import Audio
from models.song.draft import FADE, mirrored, new_share

REST = "rest"
"""Name of this part beside the stems."""


def rest_of(song: Audio, stems: Iterable[Audio]) -> Audio:
    """A song of one or two channels without its stems, at its own rate: with them it sums up to the song."""
    left = song.samples.copy()
    for stem in stems:
        taken = like(stem, song).samples[:, : left.shape[1]]
        left[:, : taken.shape[1]] -= taken
    return Audio(left, song.rate)


def like(sound: Audio, other: Audio) -> Audio:
    """The same sound at the rate, and in the one or two channels, of another."""
    return (sound.mono() if other.samples.shape[0] == 1 else sound.stereo()).resample(other.rate)


def lasting(sound: Audio, samples: int, fade: int = FADE) -> Audio:
    """So many samples of a sound. Where it ends before them, it fades out after its end, without a click."""
    length = sound.samples.shape[1]
    longer = mirrored(sound.samples[:, :samples], samples, fade)
    if samples > length + 1:
        longer = longer * (1 - new_share(samples, slice(length, samples), fade))
    return Audio(longer, sound.rate)
