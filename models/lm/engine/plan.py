"""What fits: slots, bytes per slot, and bytes that a step reads."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

from models.errors import StemsError
from models.lm.edit_sequence import edit_frames
from models.lm.engine.delayed_window import longest_window
from models.lm.engine.rows import RowShape
from models.lm.engine.weights import BYTES, Precision, best_precision
from models.lm.transformer import TransformerSize

_PREFILL_CHUNKS = {"cpu": 16}
"""Steps of a prefill chunk. On a CPU, small chunks cost no more per step, and other requests wait less for theirs."""


@dataclass(frozen=True)
class EnginePlan:
    """Sizes of an engine.

    Args:
        size: the transformer's.
        shape: a row's.
        slots: guided requests at once; of unguided ones, twice as many.
        precision: of the matrices.
        segment_frames: frames of the longest sequence that the model was trained on.
        longest: frames of the longest request.
        prefill_chunk: steps that are prefilled at once, between two decoding steps of other requests.
        static: full-batch mode: every step computes all rows, in shapes that never change, as accelerators need it.
        report_frames: frames that are put out together.
    """

    size: TransformerSize
    shape: RowShape
    slots: int
    precision: Precision
    segment_frames: int
    longest: int
    prefill_chunk: int
    static: bool
    report_frames: int = 25

    @property
    def rows(self) -> int:
        """Rows: two per slot."""
        return 2 * self.slots

    @property
    def dtype(self) -> torch.dtype:
        """Type of the KV cache."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.float16}[self.precision]

    @property
    def slot_bytes(self) -> int:
        """Bytes of KV cache per slot."""
        return 2 * self.shape.nbytes(self.dtype)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that a step reads."""
        return step_parameters(self.size) * BYTES[self.precision]

    @property
    def nbytes(self) -> int:
        """Bytes that an engine takes beside the model."""
        text_weights = 2 * self.size.layers * self.size.dim**2 * BYTES[self.precision]
        packed = 0 if self.precision == "float32" else self.weight_bytes + text_weights
        return packed + self.slots * self.slot_bytes

    def window(self, *, edit: bool) -> int:
        """Frames that are decoded in one window."""
        return edit_frames(self.segment_frames) if edit else self.segment_frames

    def step_bytes(self, filled: int) -> int:
        """Bytes that one step of one guided request reads, with ``filled`` steps in its KV cache."""
        cache_bytes = 2 * 2 * self.size.layers * self.size.dim * filled * self.dtype.itemsize
        return self.weight_bytes + cache_bytes


def step_parameters(size: TransformerSize) -> int:
    """Weights that a step multiplies by: all but the embeddings, and those that project a text once per request."""
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
    """Plan an engine, and refuse it if the device has not enough free memory.

    Args:
        size: the transformer's.
        delays: the layout's delay of each stream, in steps.
        segment_frames: frames of the longest sequence that the model was trained on.
        text_positions: positions of the longest text.
        longest: frames of the longest request.
        slots: guided requests at once.
        precision: of the matrices; None chooses the fastest sound one.
        device: where the engine will run.

    Raises:
        StemsError: the slots do not fit; it says how many would.
    """
    if slots < 1:
        raise StemsError(f"{slots} slots cannot serve a request.", "Plan one or more.", field="slots")
    shape = RowShape(
        size.layers,
        size.heads,
        size.dim // size.heads,
        size.streams,
        longest_window(segment_frames, delays),
        text_positions,
    )
    precision = precision or best_precision(device, size.dim)
    if precision == "int8" and device.type != "cpu":
        raise StemsError(
            f"int8 works on CPUs only, not on {device}.", "Choose bfloat16 or float32.", field="precision"
        )
    static, chunk = device.type != "cpu", _PREFILL_CHUNKS.get(device.type, 256)
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
