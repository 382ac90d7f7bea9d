"""Decode a song's frames to the sound of its stems while the song is still being generated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from models.codec.codec import StemCodec
from models.codec.stream import StreamDecoder
from models.errors import not_finite
from models.song.draft import Draft
from models.stems import StemLayout

FRAMES = 50
"""Frames decoded together, one second of them: context frames around them are computed twice."""


class SongDecoder:
    """Frames in, as they arrive; sound of all stems out, second by second.

    The joined output equals the codecs' output for the whole song, to 90 dB and more; where a draft keeps given
    sound, it is that sound.
    """

    def __init__(self, codecs: Mapping[str, StemCodec], layout: StemLayout, draft: Draft) -> None:
        self._layout, self._draft = layout, draft
        self._decoders = {name: StreamDecoder(codecs[name]) for name in layout.names if draft.decodes(name)}
        self._waiting: list[Tensor] = []
        self.samples = 0
        """Samples returned so far per stem."""

    def push(self, codes: Int[Tensor, "streams frames"], *, last: bool) -> dict[str, np.ndarray]:
        """Add frames. Returns mono samples by stem, all equally long; an empty dict while too few frames wait.

        Raises:
            StemsError: a codec's sound is not finite.
        """
        self._waiting.append(codes)
        if sum(part.shape[1] for part in self._waiting) < FRAMES and not last:
            return {}
        frames, self._waiting = torch.cat(self._waiting, dim=1), []
        decoded = {
            name: decoder.push(frames[self._layout.slice(name)], last=last).numpy()
            for name, decoder in self._decoders.items()
        }
        if lost := [name for name, sound in decoded.items() if not np.isfinite(sound).all()]:
            raise not_finite(f"codec of '{lost[0]}'")
        first, draft = self.samples, self._draft
        count = min(len(next(iter(decoded.values()))), draft.samples - first)
        self.samples += count
        return {
            name: draft.heard(name, first, decoded[name][:count])
            if name in decoded
            else draft.kept(name, first, count)
            for name in self._layout.names
        }
