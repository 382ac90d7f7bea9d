"""`stems engine plan`: the memory that a decoding engine needs, and how fast the memory lets it be."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from models.device import usable_device
from models.errors import StemsError
from models.lm.engine.native.kernels import kernels
from models.lm.engine.plan import EnginePlan, free_bytes
from models.lm.engine.roofline import memory_bandwidth, step_seconds
from models.lm.language_model import LMConfig
from models.presets import CODEC_SIZES, LM_SIZES
from models.stems import MUSICGEN_STEM
from pipelines.composing.config import EnginePlanConfig


@dataclass(frozen=True)
class EngineReport:
    """An engine that fits, on the device that was measured.

    Args:
        plan: the engine's sizes.
        device: such as cpu.
        free: bytes of memory that are free on it.
        bandwidth: of its memory, in bytes per second.
        frame_rate: frames per second of song.
    """

    plan: EnginePlan
    device: str
    free: int
    bandwidth: float
    frame_rate: float

    def summary(self) -> Table:
        """A table for a terminal."""
        plan, full = self.plan, self.plan.shape.steps
        table = Table("", "", title=f"An engine on {self.device}", show_header=False)
        table.add_row("slots", f"{plan.slots} guided or {plan.rows} unguided requests")
        table.add_row("precision", plan.precision + _how(plan, self.device))
        table.add_row("weights read per step", _size(plan.weight_bytes))
        table.add_row("per slot", f"{_size(plan.slot_bytes)} for {full} steps")
        table.add_row("total, beside the model", f"{_size(plan.nbytes)} of {_size(self.free)} free")
        table.add_row("memory bandwidth, measured", f"{self.bandwidth / 1e9:.1f} GB/s")
        for requests in sorted({1, plan.slots}):
            for filled in (0, full):
                least = step_seconds(plan, self.bandwidth, requests=requests, filled=filled)
                what = f"least time per step, {requests} request{'s' * (requests > 1)}, {filled} steps cached"
                speed = requests / least / self.frame_rate
                table.add_row(what, f"{1000 * least:.1f} ms: at most {speed:.1f} × real time in total")
        return table


def plan(config: EnginePlanConfig) -> EngineReport:
    """Plan an engine for a model or a preset, and measure what limits it.

    Raises:
        StemsError: the slots do not fit; it says how many would.
    """
    device = usable_device(config.device)
    free, lm = free_bytes(device), _config(config)
    made = lm.plan(config.slots, config.precision, device)
    return EngineReport(made, str(device), free, memory_bandwidth(device), lm.frame_rate)


def _config(config: EnginePlanConfig) -> LMConfig:
    if config.model:
        return LMConfig.load(f"{config.model}/lm")
    if config.preset not in LM_SIZES:
        raise StemsError(
            f"There is no preset '{config.preset}'.", f"Choose from: {', '.join(LM_SIZES)}.", field="preset"
        )
    size, codec = LM_SIZES[config.preset], CODEC_SIZES["paper"]
    frames = round(size.segment_seconds * codec.frame_rate)
    return LMConfig(
        MUSICGEN_STEM,
        codec.cardinality,
        size.dim,
        size.heads,
        size.layers,
        frames,
        frame_rate=codec.frame_rate,
        text=size.text,
    )


def _how(plan: EnginePlan, device: str) -> str:
    if plan.precision != "int8" or device != "cpu":
        return ""
    return ", by compiled kernels" if kernels() else ", by PyTorch's products: no compiler for the kernels was found"


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
