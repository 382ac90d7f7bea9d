"""The editing sequence and the training mixture, as pure functions of codes and random draws.

An editing example is ``prefix | transition | target`` (as in the reference): every 5th frame of the target with the
masked streams hidden, one column of special ids, then the target at full rate. The model first reads the visible part
of the whole excerpt, then writes the excerpt itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.stems import StemLayout

PREFIX_STRIDE = 5  # 50 Hz -> 10 Hz (paper §III)


def edit_frames(segment_frames: int, stride: int = PREFIX_STRIDE) -> int:
    """Target frames of an editing example cut from a segment: the first 5/6, so that the prefix fits as well."""
    return segment_frames * stride // (stride + 1)


def prefix_frames(target_frames: int, stride: int = PREFIX_STRIDE) -> int:
    """Columns of the prefix: one per ``stride`` target frames."""
    return math.ceil(target_frames / stride)


def prompt_columns(
    codes: Int[Tensor, "*batch streams frames"],
    hidden: Bool[Tensor, "*batch streams frames"],
    special: int,
    stride: int = PREFIX_STRIDE,
) -> Int[Tensor, "*batch streams columns"]:
    """The prefix and the transition column, which give the model its musical context.

    Args:
        codes: the excerpt's codes.
        hidden: the codes that the prefix hides: whole streams in the paper, a time span of some in a region edit.
        special: the special id.
        stride: target frames per prefix column.
    """
    prefix = codes[..., ::stride].masked_fill(hidden[..., ::stride], special)
    transition = prefix.new_full((*prefix.shape[:-1], 1), special)
    return torch.cat([prefix, transition], dim=-1)


def edit_sequence(
    codes: Int[Tensor, "*batch streams frames"],
    hidden: Bool[Tensor, "*batch streams frames"],
    special: int,
    stride: int = PREFIX_STRIDE,
) -> Int[Tensor, "*batch streams columns"]:
    """Prefix, transition and target: the columns of one editing example, before the delay."""
    return torch.cat([prompt_columns(codes, hidden, special, stride), codes], dim=-1)


def draw_masked_streams(layout: StemLayout, rng: np.random.Generator, partial: bool = True) -> np.ndarray:
    """Draw which streams an editing example hides: bool ``[streams]``.

    One or two of three stems, each subset size equally likely (in general 1 … stems - 1); of a masked stem
    with residual codebooks, one of its :meth:`~models.stems.StemLayout.maskable_sets` (paper §III), or all of
    them where ``partial`` is false, as in the reference.
    """
    stems = len(layout.stems)
    count = int(rng.integers(1, stems)) if stems > 1 else 1
    mask = np.zeros(layout.streams, dtype=bool)
    for index in rng.permutation(stems)[:count]:
        sets = layout.maskable_sets(layout.names[index])
        mask[list(sets[rng.integers(len(sets))] if partial else sets[-1])] = True
    return mask


@dataclass(frozen=True)
class TrainingExample:
    """One row of a training batch: ``columns`` int64 ``[streams, C]`` and where the loss applies, bool ``[C]``.

    ``masked`` marks the streams that an editing example hides; it is empty for text-to-music.
    """

    columns: np.ndarray
    loss_columns: np.ndarray
    masked: np.ndarray

    @property
    def is_edit(self) -> bool:
        """Whether this is an editing example."""
        return bool(self.masked.any())


def example_columns(segment_frames: int) -> int:
    """Columns C that hold either task: an edit needs prefix + transition + target, text the segment itself."""
    target = edit_frames(segment_frames)
    return max(segment_frames, prefix_frames(target) + 1 + target)


def training_example(
    codes: np.ndarray,
    layout: StemLayout,
    special: int,
    *,
    segment_frames: int,
    edit_share: float,
    rng: np.random.Generator,
    partial_masks: bool = True,
    span_share: float = 0.0,
) -> TrainingExample:
    """Cut a segment out of a song and turn it into a text-to-music or an editing example.

    Args:
        codes: the song's codes ``[streams, frames]``; songs shorter than the segment are padded by special
            columns that carry no loss.
        layout: the stems.
        special: the special id.
        segment_frames: frames of the segment (1,500 in the paper).
        edit_share: probability of an editing example (0.5 in the paper), drawn for each example.
        rng: the only source of randomness.
        partial_masks: see :func:`draw_masked_streams`.
        span_share: probability that an edit hides only a time span of its stems, as region edits do (0 in the paper).
    """
    frames = codes.shape[1]
    edit = rng.random() < edit_share and len(layout.stems) > 1
    wanted = edit_frames(segment_frames) if edit else segment_frames
    start = int(rng.integers(0, max(1, frames - wanted + 1)))
    cut = torch.from_numpy(codes[:, start : start + wanted].astype(np.int64))
    masked = draw_masked_streams(layout, rng, partial_masks) if edit else np.zeros(layout.streams, dtype=bool)
    span = draw_span(cut.shape[1], rng) if edit and rng.random() < span_share else slice(None)
    return assemble_example(cut, masked, special, example_columns(segment_frames), span)


def draw_span(frames: int, rng: np.random.Generator) -> slice:
    """A time span to hide: from a tenth of the excerpt to all of it, anywhere."""
    length = max(1, round(frames * rng.uniform(0.1, 1.0)))
    start = int(rng.integers(0, frames - length + 1))
    return slice(start, start + length)


def assemble_example(
    codes: Int[Tensor, "streams frames"],
    masked: np.ndarray,
    special: int,
    columns: int,
    span: slice = slice(None),
) -> TrainingExample:
    """Lay out one example in ``columns`` columns; an empty mask means text-to-music.

    The masked streams are hidden within ``span``.
    """
    hidden = torch.zeros(codes.shape, dtype=torch.bool)
    hidden[torch.from_numpy(masked), span] = True
    body = edit_sequence(codes, hidden, special) if masked.any() else codes
    padded = torch.full((codes.shape[0], columns), special, dtype=torch.int64)
    padded[:, : body.shape[1]] = body
    loss = np.zeros(columns, dtype=bool)
    loss[body.shape[1] - codes.shape[1] : body.shape[1]] = True
    return TrainingExample(padded.numpy(), loss, masked)
