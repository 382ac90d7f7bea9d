"""Batches of the language model, as pure functions of songs, seed, step and index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.lm.edit_sequence import TrainingExample, assemble_example, edit_frames, example_columns, training_example
from models.stems import StemLayout
from pipelines.training.data.sampler import rng
from pipelines.training.lm.prompts import TextMerging, plain_prompt, training_prompt
from pipelines.training.lm.song_table import TrainingSong

# Validation draws must differ from training draws: no run has this many steps.
_VALIDATION_STEP = 2**48
# The draw for a whole batch must differ from an example's: no batch is this large.
_WHOLE_BATCH = 2**48


@dataclass(frozen=True)
class Batch:
    """``columns`` int64 ``[batch, streams, C]``, ``loss_columns`` bool ``[batch, C]``, one prompt (or "") per row."""

    columns: Tensor
    loss_columns: Tensor
    prompts: tuple[str, ...]

    @classmethod
    def of(cls, examples: Sequence[TrainingExample], prompts: Sequence[str]) -> Batch:
        """Stack examples."""
        return cls(
            torch.from_numpy(np.stack([example.columns for example in examples])),
            torch.from_numpy(np.stack([example.loss_columns for example in examples])),
            tuple(prompts),
        )

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(self.columns.to(device), self.loss_columns.to(device), self.prompts)


@dataclass(frozen=True)
class Sampler:
    """Cuts examples out of songs.

    Args:
        layout: the stems.
        special: the special id.
        segment_frames: frames of a training segment.
        seed: seed of all draws.
        edit_share: share of editing examples.
        text_dropout: share of examples without text.
        task_draw: draw the task for each example, or once per batch.
        partial_masks: whether edits may hide some codebooks of a stem.
        span_share: share of the edits that hide only a time span of their stems.
        text: how captions and tags become prompts.
    """

    layout: StemLayout
    special: int
    segment_frames: int
    seed: int
    edit_share: float
    text_dropout: float
    task_draw: Literal["sample", "batch"]
    partial_masks: bool
    span_share: float
    text: TextMerging

    def training(self, songs: Sequence[TrainingSong], step: int, indices: Sequence[int]) -> Batch:
        """The examples ``indices`` of global batch ``step``."""
        examples, prompts = [], []
        edit_share = self._edit_share(step)
        for index in indices:
            draw = rng(self.seed, step, index)
            song = songs[int(draw.integers(len(songs)))]
            dropped = draw.random() < self.text_dropout
            prompts.append("" if dropped else training_prompt(song.caption, song.tags, self.text, draw))
            examples.append(
                training_example(
                    song.codes,
                    self.layout,
                    self.special,
                    segment_frames=self.segment_frames,
                    edit_share=edit_share,
                    rng=draw,
                    partial_masks=self.partial_masks,
                    span_share=self.span_share,
                )
            )
        return Batch.of(examples, prompts)

    def _edit_share(self, step: int) -> float:
        """The share of edits in batch ``step``: 0 or 1 if the task is drawn per batch."""
        if self.task_draw == "sample":
            return self.edit_share
        return float(rng(self.seed, step, _WHOLE_BATCH).random() < self.edit_share)

    def text_validation(self, songs: Sequence[TrainingSong], count: int) -> Batch:
        """Fixed text-to-music examples."""
        examples, prompts = [], []
        for index in range(count):
            draw = rng(self.seed, _VALIDATION_STEP, index)
            song = songs[index % len(songs)]
            prompts.append(plain_prompt(song.caption, song.tags))
            cut = _cut(song.codes, self.segment_frames, draw)
            nothing = np.zeros(self.layout.streams, dtype=bool)
            examples.append(self._assemble(cut, nothing))
        return Batch.of(examples, prompts)

    def edit_validation(self, songs: Sequence[TrainingSong], stem: str, count: int, *, swapped: bool) -> Batch:
        """Fixed editing examples that hide one stem; ``swapped`` puts another song's other stems around it.

        Without text, the right context helps only through its stems.
        """
        masked = np.array(self.layout.stream_mask([stem]))
        examples = []
        for index in range(count):
            draw = rng(self.seed, _VALIDATION_STEP, index)
            cut = _cut(songs[index % len(songs)].codes, edit_frames(self.segment_frames), draw)
            other = _cut(songs[(index + 1) % len(songs)].codes, cut.shape[1], draw)
            # Both have one length, so that both losses cover the same frames.
            cut = cut[:, : other.shape[1]]
            if swapped:
                cut = np.where(masked[:, None], cut, other)
            examples.append(self._assemble(cut, masked))
        return Batch.of(examples, [""] * count)

    def _assemble(self, cut: np.ndarray, masked: np.ndarray) -> TrainingExample:
        codes = torch.from_numpy(cut.astype(np.int64))
        return assemble_example(codes, masked, self.special, example_columns(self.segment_frames))


def _cut(codes: np.ndarray, frames: int, draw: np.random.Generator) -> np.ndarray:
    start = int(draw.integers(0, max(1, codes.shape[1] - frames + 1)))
    return codes[:, start : start + frames]
