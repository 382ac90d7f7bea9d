"""Run an EnCodec network on a whole song: convolutions in chunks with context, the LSTM over all frames.

An encoder has convolutions down to the frame rate, an LSTM, and a last convolution; a decoder is its mirror image.
Convolutions need a little context around a chunk, which is computed twice and dropped. The LSTM carries its state
from chunk to chunk. The result is that of the song in one piece, in the memory of a chunk (and 0.2 MB per second
between the parts).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

CONTEXT = 6
"""Frames of context per side of a chunk: the reach of the convolutions, also if all of it lies in the past."""


@dataclass(frozen=True)
class FrameChunk:
    """Frames ``start`` to ``stop`` of a song, computed from frames ``left`` to ``right``."""

    left: int
    start: int
    stop: int
    right: int

    @property
    def kept(self) -> slice:
        """The part to keep of the result for ``left`` to ``right``."""
        return slice(self.start - self.left, self.stop - self.left)


def chunks(frames: int, length: int, before: int, after: int) -> Iterator[FrameChunk]:
    """Chunks of ``length`` frames that cover a song, each with up to ``before`` and ``after`` frames of context."""
    for start in range(0, frames, length):
        stop = min(start + length, frames)
        yield FrameChunk(max(0, start - before), start, stop, min(frames, stop + after))


def around_lstm(layers: Iterable[nn.Module]) -> tuple[list[nn.Module], Any, list[nn.Module]]:
    """The layers before an encoder's or decoder's LSTM, the LSTM, and those after it."""
    from transformers.models.encodec.modeling_encodec import EncodecLSTM

    every = list(layers)
    [place] = [index for index, layer in enumerate(every) if isinstance(layer, EncodecLSTM)]
    return every[:place], every[place], every[place + 1 :]


def through(layers: Iterable[nn.Module]) -> Callable[[Tensor], Tensor]:
    """The layers in sequence, as a function."""

    def run(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x

    return run


def in_chunks(
    work: Callable[[Tensor], Tensor],
    x: Float[Tensor, "*rest length"],
    frames: int,
    chunk: int,
    *,
    per: int,
    made: int,
) -> Tensor:
    """Apply convolutions to ``frames`` frames, ``chunk`` at a time.

    Args:
        work: convolutions with a context of at most ``CONTEXT`` frames per side.
        x: their input, ``per`` values per frame; the last frame may be incomplete.
        frames: number of frames.
        chunk: frames per chunk, without context.
        per: input values per frame.
        made: output values per frame.
    """
    parts = []
    for piece in chunks(frames, chunk, CONTEXT, CONTEXT):
        result = work(x[..., piece.left * per : piece.right * per])
        parts.append(result[..., piece.kept.start * made : piece.kept.stop * made])
    return torch.cat(parts, dim=-1)


def remember(
    layer: Any, x: Float[Tensor, "batch channels frames"], chunk: int
) -> Float[Tensor, "batch channels frames"]:
    """An EnCodec LSTM with its skip connection, ``chunk`` frames at a time, with its state carried over."""
    parts, state = [], None
    for piece in x.split(chunk, dim=-1):
        steps = piece.permute(2, 0, 1)
        mixed, state = layer.lstm(steps, state)
        parts.append((mixed + steps).permute(1, 2, 0))
    return torch.cat(parts, dim=-1)
