"""Engines for tests."""

from __future__ import annotations

from dataclasses import replace

import torch

from models.lm.engine.engine import Engine
from models.lm.engine.plan import plan_engine
from models.lm.engine.weights import Precision
from models.lm.transformer import StemTransformer


def engine(
    model: StemTransformer,
    delays: tuple[int, ...],
    *,
    slots: int = 1,
    precision: Precision = "float32",
    static: bool = False,
    segment_frames: int = 100,
) -> Engine:
    plan = plan_engine(
        model.size,
        delays,
        segment_frames,
        text_positions=20,
        longest=1_000,
        slots=slots,
        precision=precision,
        device=torch.device("cpu"),
    )
    return Engine(model, delays, replace(plan, static=static))
