"""A song at the rate and in the channels of the stems that were given, where the model itself has one channel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.audio.files import Audio
from models.song.draft import FADE, Draft, mirrored, new_share
from models.song.song import Song
from models.song.source import padded


def in_source_quality(song: Song, draft: Draft, given: Mapping[str, Audio]) -> dict[str, Audio]:
    """The stems of a song, all equally long, at the highest rate of those given.

    A given stem at that rate stays to the bit where it was not written. What was written is resampled, and has the
    channels of the stem that it replaces; a stem that was not given has the most channels of those that were.

    Args:
        song: as the model made it.
        draft: what it was asked for.
        given: the stems that it was given.
    """
    rate = max(sound.rate for sound in given.values())
    most = max(sound.samples.shape[0] for sound in given.values())
    old = {name: sound.resample(rate).samples for name, sound in given.items()}
    scale = rate / song.rate
    samples, start = round(draft.samples * scale), round(draft.written.start * scale)
    longest = max(sound.shape[1] for sound in old.values())
    samples = longest if abs(samples - longest) <= 1 else samples  # it was rounded twice
    stop = samples if draft.written.stop >= draft.samples else round(draft.written.stop * scale)
    fade = round(FADE * scale)
    share = new_share(samples, slice(start, stop), fade)
    return {
        name: Audio(_stem(old.get(name), new, name, draft, share, (start, fade), most), rate)
        for name, new in (
            (name, padded(Audio(sound[None], song.rate).resample(rate).samples[0], samples))
            for name, sound in song.stems.items()
        )
    }


def _stem(
    old: np.ndarray | None,
    new: np.ndarray,
    name: str,
    draft: Draft,
    share: np.ndarray,
    seam: tuple[int, int],
    most: int,
) -> np.ndarray:
    """One stem ``[channels, samples]``: as given where it stays, and new where it was written."""
    samples, (start, fade) = len(new), seam
    channels = most if old is None else old.shape[0]
    if old is None or name not in draft.sound:
        return np.repeat(new[None], channels, axis=0)
    if not draft.decodes(name):
        return np.stack([padded(channel, samples) for channel in old])
    if old.shape[1] <= start + 1:  # it goes on
        old = mirrored(np.stack([padded(channel, max(start, old.shape[1])) for channel in old]), samples, fade)
    old = np.stack([padded(channel, samples) for channel in old])
    return old * (1 - share) + new * share
