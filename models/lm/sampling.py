"""How the next token is chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.errors import StemsError


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters of one request. Defaults are MusicGen's.

    ``guidance`` 1 switches guidance off; ``top_k`` 0 and ``top_p`` 0 switch their filters off; ``temperature`` 0
    takes the most likely token; ``seed`` None draws one.
    """

    guidance: float = 3.0
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _check("guidance", self.guidance, 0.0, 20.0)
        _check("temperature", self.temperature, 0.0, 10.0)
        _check("top_p", self.top_p, 0.0, 1.0)
        if not 0 <= self.top_k <= 1_000_000:
            raise StemsError(f"top_k is {self.top_k}.", "Give 0 (off) or a positive number.", field="top_k")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise StemsError(f"seed is {self.seed}.", "Give a number from 0 to 2^63 - 1.", field="seed")

    def seeded(self) -> int:
        """The seed, or a fresh one small enough to be typed."""
        return self.seed if self.seed is not None else int(torch.randint(2**31, ()).item())


def guide(
    conditional: Float[Tensor, "*shape cardinality"],
    unconditional: Float[Tensor, "*shape cardinality"],
    guidance: float,
) -> Float[Tensor, "*shape cardinality"]:
    """Classifier-free guidance: uncond + c (cond - uncond)."""
    return unconditional + guidance * (conditional - unconditional)


def choose(
    logits: Float[Tensor, "streams cardinality"], sampling: Sampling, generator: torch.Generator
) -> Int[Tensor, " streams"]:
    """Draw one token a stream. Uses the same amount of randomness at every call, so streams stay aligned."""
    noise = torch.empty_like(logits, device="cpu").exponential_(generator=generator).to(logits.device)
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / sampling.temperature
    if sampling.top_k:
        kept = logits.topk(min(sampling.top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < kept, -math.inf)
    probabilities = logits.softmax(dim=-1)
    if sampling.top_p:
        probabilities = _nucleus(probabilities, sampling.top_p)
    # The largest p / exponential is a draw from p (the Gumbel trick, without logarithms).
    return (probabilities / noise).argmax(dim=-1)


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, index = probabilities.sort(dim=-1, descending=True)
    outside = ordered.cumsum(dim=-1) - ordered >= top_p
    return torch.zeros_like(probabilities).scatter(-1, index, ordered.masked_fill(outside, 0.0))


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        raise StemsError(f"{name} is {value}.", f"Give a number from {low:g} to {high:g}.", field=name)
