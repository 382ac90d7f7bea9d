"""What fits: slots, bytes a slot, and how fast memory allows a step to be."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

from models.errors import StemsError
from models.lm.edit_sequence import edit_frames
from models.lm.engine.sheet import longest_sheet
from models.lm.engine.slots import RowShape
from models.lm.engine.weights import BYTES, Precision, best_precision
from models.lm.transformer import TransformerSize

_CHUNKS = {"cpu": 16}
"""Steps of a chunk: where they are as cheap a piece in small ones, others wait less."""


@dataclass(frozen=True)
class EnginePlan:
    """Sizes of an engine.

    Args:
        size: the transformer's.
        shape: a row's.
        slots: guided requests at once; of unguided ones, twice as many.
        precision: of the matrices.
        segment_frames: the longest sequence of frames that the model has learned.
        longest: frames of the longest request.
        chunk: known steps that are read at once, while others wait for a step.
        static: whether a step has the same shapes whoever takes part, as accelerators want it.
        report_frames: frames that are told together.
    """

    size: TransformerSize
    shape: RowShape
    slots: int
    precision: Precision
    segment_frames: int
    longest: int
    chunk: int
    static: bool
    report_frames: int = 25

    @property
    def rows(self) -> int:
        """Rows: two a slot."""
        return 2 * self.slots

    @property
    def dtype(self) -> torch.dtype:
        """Of what is remembered."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.float16}[self.precision]

    @property
    def slot_bytes(self) -> int:
        """What a slot remembers."""
        return 2 * self.shape.nbytes(self.dtype)

    @property
    def weight_bytes(self) -> int:
        """What a step reads of the weights."""
        return step_parameters(self.size) * BYTES[self.precision]

    @property
    def nbytes(self) -> int:
        """What an engine takes beside the model."""
        for_texts = 2 * self.size.layers * self.size.dim**2 * BYTES[self.precision]
        packed = 0 if self.precision == "float32" else self.weight_bytes + for_texts
        return packed + self.slots * self.slot_bytes

    def window(self, *, edit: bool) -> int:
        """Frames that are written in one window."""
        return edit_frames(self.segment_frames) if edit else self.segment_frames

    def step_bytes(self, filled: int) -> int:
        """What one step of one guided request reads, once so many steps are filled."""
        remembered = 2 * 2 * self.size.layers * self.size.dim * filled * self.dtype.itemsize
        return self.weight_bytes + remembered


def step_parameters(size: TransformerSize) -> int:
    """Weights that a step multiplies by: all but the embeddings and what is done with a text once a request."""
    layer = (4 + 2 + 2 * size.feed_forward_ratio) * size.dim**2
    return size.layers * layer + size.dim * size.streams * size.cardinality


def plan_engine(
    size: TransformerSize,
    delays: tuple[int, ...],
    segment_frames: int,
    text_positions: int,
    *,
    longest: int,
    slots: int,
    precision: Precision | None,
    device: torch.device,
) -> EnginePlan:
    """Plan an engine, and refuse it where its memory is not there.

    Args:
        size: the transformer's.
        delays: the layout's.
        segment_frames: the longest sequence of frames that the model has learned.
        text_positions: of the longest text.
        longest: frames of the longest request.
        slots: guided requests at once.
        precision: of the matrices; None chooses.
        device: where it will run.

    Raises:
        StemsError: fewer slots would fit; it says how many.
    """
    if slots < 1:
        raise StemsError(f"{slots} slots serve nobody.", "Plan one or more.", field="slots")
    shape = RowShape(
        size.layers,
        size.heads,
        size.dim // size.heads,
        size.streams,
        longest_sheet(segment_frames, delays),
        text_positions,
    )
    precision = precision or best_precision(device, size.dim)
    if precision == "int8" and device.type != "cpu":
        raise StemsError(f"int8 decodes on CPUs, not on {device}.", "Choose bfloat16 or float32.", field="precision")
    static, chunk = device.type != "cpu", _CHUNKS.get(device.type, 256)
    plan = EnginePlan(size, shape, slots, precision, segment_frames, longest, chunk, static)
    if plan.nbytes > (free := free_bytes(device)):
        fit = max(0, slots - -(-(plan.nbytes - free) // plan.slot_bytes))
        raise StemsError(
            f"{slots} slots take {plan.nbytes / 1e9:.1f} GB; {free / 1e9:.1f} GB are free.",
            f"{fit} would fit." if fit else "Not one fits: use a smaller model or a machine with more memory.",
            code="memory",
            field="slots",
        )
    return plan


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
