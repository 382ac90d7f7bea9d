"""A song's codes to sound while they are still being written: what comes out is what the whole song's decoding gives.

The decoder's convolutions see a few frames ahead, so sound comes that much later than codes; its LSTM hands its state
on. Sums are rounded otherwise than in one piece, and that is all the difference.
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
"""Frames to each side that the convolutions after the LSTM see at most: theirs are finer steps."""

DELAY_FRAMES = CONTEXT + AFTER_LSTM
"""Frames by which sound is later than codes: what the convolutions before the LSTM and those after it look ahead."""


class StreamDecoder:
    """Decodes one stem's codes as they come."""

    def __init__(self, codec: StemCodec) -> None:
        self._codec = codec
        first, self._lstm, up = around_lstm(codec.network.decoder.layers)
        self._first = _Window(through(first), CONTEXT, 1)
        self._up = _Window(through(up), AFTER_LSTM, codec.hop)
        self._state: Any = None

    @torch.inference_mode()
    def push(self, codes: Int[Tensor, "codebooks frames"], *, last: bool = False) -> Float[Tensor, " samples"]:
        """More codes in, as much sound out as they settle; with the last of them, all the rest."""
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
    """Convolutions over frames that come piece by piece; each sees ``context`` more, and becomes ``made`` values."""

    def __init__(self, work: Callable[[Tensor], Tensor], context: int, made: int) -> None:
        self._work, self._context, self._made = work, context, made
        self._seen: Tensor | None = None
        # Frames of what was seen that have been given out.
        self._done = 0

    def push(self, x: Float[Tensor, "1 channels frames"] | None, *, last: bool) -> Tensor | None:
        """Results of the frames whose context is complete; None where there are none."""
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
