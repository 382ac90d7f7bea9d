"""Decode a song's codes while they are still being generated; the result equals decoding the whole song.

The decoder's convolutions see a few frames ahead, so sound lags the codes by that much; the LSTM carries its state
over. The only difference is rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.codec.codec import StemCodec
from models.codec.whole_song import CONTEXT, around_lstm, through

AFTER_LSTM = 3
"""Largest context, in frames per side, of the convolutions after the LSTM: they work at higher rates."""

DELAY_FRAMES = CONTEXT + AFTER_LSTM
"""Frames by which sound lags the codes: the look-ahead of the convolutions before and after the LSTM."""


class StreamDecoder:
    """Decodes one stem's codes as they arrive."""

    def __init__(self, codec: StemCodec) -> None:
        self._codec = codec
        first, self._lstm, up = around_lstm(codec.network.decoder.layers)
        self._first = _Window(through(first), CONTEXT, 1)
        self._up = _Window(through(up), AFTER_LSTM, codec.hop)
        self._state: Any = None

    @torch.inference_mode()
    def push(self, codes: Int[Tensor, "codebooks frames"], *, last: bool = False) -> Float[Tensor, " samples"]:
        """Add codes; returns the sound that is now final, or all the rest with the last codes."""
        device = next(self._codec.parameters()).device
        vectors = self._codec.network.quantizer.decode(codes.to(device)[:, None].long())
        features = self._first.push(vectors, last=last)
        if features is not None:
            steps = features.permute(2, 0, 1)
            mixed, self._state = self._lstm.lstm(steps, self._state)
            features = (mixed + steps).permute(1, 2, 0)
        sound = self._up.push(features, last=last)
        return torch.zeros(0) if sound is None else sound[0, 0].cpu()


class _Window:
    """Convolutions over frames that arrive in pieces: ``context`` frames per side, ``made`` values per frame."""

    def __init__(self, work: Callable[[Tensor], Tensor], context: int, made: int) -> None:
        self._work, self._context, self._made = work, context, made
        self._seen: Tensor | None = None
        # Frames of the buffer whose results were returned.
        self._done = 0

    def push(self, x: Float[Tensor, "1 channels frames"] | None, *, last: bool) -> Tensor | None:
        """Results of the frames whose context is complete; None if there are none."""
        pieces = [piece for piece in (self._seen, x) if piece is not None]
        if not pieces:
            return None
        self._seen = torch.cat(pieces, dim=-1)
        frames = self._seen.shape[-1]
        end = frames if last else max(self._done, frames - self._context)
        if end == self._done:
            return None
        results = self._work(self._seen)[..., self._done * self._made : end * self._made]
        kept = max(0, end - self._context)
        self._seen, self._done = self._seen[..., kept:], end - kept
        return results
