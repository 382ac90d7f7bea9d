"""Sampling: the parameters of a request, guidance, and drawing tokens for many requests at once.

The noise of a token is not taken from a generator's state: it is a function of the request's seed and of the token's
place. So a draw does not depend on other requests, and a lost one can be repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.errors import StemsError
from models.request_bounds import SamplingFields


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

    @classmethod
    def of(cls, fields: SamplingFields) -> Sampling:
        """The sampling parameters of a request."""
        return cls(fields.guidance, fields.temperature, fields.top_k, fields.top_p, fields.seed)

    def seeded(self) -> int:
        """The seed; if there is none, a random one that is short enough to type."""
        return self.seed if self.seed is not None else int(torch.randint(2**31, ()).item())


@dataclass(frozen=True)
class Draws:
    """How to draw for each of several rows.

    Args:
        temperature: 0 takes the most likely token.
        top_k: 0 for no limit.
        top_p: 0 for no limit.
        noise_key: what a row's noise is a function of; see :func:`noise_key`.
        most_k: the largest top_k, or more; 0 if all are 0. Shapes depend on it.
        nucleus: whether any row has a top_p.
    """

    temperature: Float[Tensor, " rows"]
    top_k: Int[Tensor, " rows"]
    top_p: Float[Tensor, " rows"]
    noise_key: Int[Tensor, " rows"]
    most_k: int
    nucleus: bool


def guide(
    conditional: Float[Tensor, "*shape cardinality"],
    unconditional: Float[Tensor, "*shape cardinality"],
    guidance: float | Float[Tensor, "*ones"],
) -> Float[Tensor, "*shape cardinality"]:
    """Classifier-free guidance: uncond + c (cond - uncond)."""
    return unconditional + guidance * (conditional - unconditional)


def choose(
    logits: Float[Tensor, "rows streams cardinality"], draws: Draws, steps: Int[Tensor, " rows"]
) -> Int[Tensor, "rows streams"]:
    """Draw one token for each row and stream.

    Args:
        logits: logits of the tokens to draw.
        draws: how to draw them.
        steps: the step of these tokens in each row's sequence; each step has noise of its own.
    """
    likeliest = logits.argmax(dim=-1)
    scaled = logits / draws.temperature.clamp(min=1e-6)[:, None, None]
    scaled = scaled.masked_fill(scaled < _least_kept(scaled, draws), -math.inf)
    if draws.nucleus:
        scaled = scaled.masked_fill(_outside_nucleus(scaled, draws.top_p), -math.inf)
    # The largest p / exponential is a draw from p (the Gumbel trick), here in logarithms.
    drawn = (scaled - exponential(draws.noise_key, steps, *logits.shape[1:]).log()).argmax(dim=-1)
    return torch.where(draws.temperature[:, None] == 0, likeliest, drawn)


def _least_kept(scaled: Tensor, draws: Draws) -> Float[Tensor, "rows streams 1"]:
    """The smallest logit that each row's top_k keeps."""
    codes = scaled.shape[-1]
    if draws.most_k == 0:
        return scaled.new_full((*scaled.shape[:2], 1), -math.inf)
    largest = scaled.topk(min(draws.most_k, codes), dim=-1).values
    place = draws.top_k.clamp(1, codes)[:, None, None] - 1
    least = largest.gather(-1, place.expand(-1, scaled.shape[1], 1))
    return least.masked_fill((draws.top_k == 0)[:, None, None], -math.inf)


def _outside_nucleus(scaled: Tensor, top_p: Tensor) -> Tensor:
    """Tokens outside the most likely ones that add up to ``top_p``; none in rows where it is 0."""
    shares, index = scaled.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    limit = torch.where(top_p > 0, top_p, math.inf)[:, None, None]
    outside = shares.cumsum(dim=-1) - shares >= limit
    return torch.zeros_like(outside).scatter(-1, index, outside)


# ------------------------------------------------------------- counter-based noise (splitmix64; Steele et al., 2014)

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def noise_key(seed: int, *places: int) -> int:
    """A 63-bit key from a seed and any numbers, such as a window's index; other numbers give other noise."""
    key = seed
    for place in places:
        key = _mix(key + (place + 1) * _GOLDEN)
    return _mix(key) >> 1


def exponential(
    noise_keys: Int[Tensor, " rows"], steps: Int[Tensor, " rows"], streams: int, codes: int
) -> Float[Tensor, "rows streams codes"]:
    """Exponential noise, a function of noise key, step, stream and code alone."""
    place = torch.arange(streams * codes, device=noise_keys.device)
    x = (noise_keys + steps * _signed(streams * codes * _GOLDEN))[:, None] + place * _signed(_GOLDEN)
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    x = x ^ _shifted(x, 31)
    # The upper 23 bits and a half, which float32 holds exactly; so it is never 0 or 1.
    uniform = (_shifted(x, 41).float() + 0.5) * 2**-23
    return -uniform.log().view(-1, streams, codes)


def _shifted(x: Tensor, by: int) -> Tensor:
    """Shift to the right and fill with zeros, also for negative numbers."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _mix(x: int) -> int:
    x %= 2**64
    x = (x ^ (x >> 30)) * _FIRST % 2**64
    x = (x ^ (x >> 27)) * _SECOND % 2**64
    return x ^ (x >> 31)


def _signed(x: int) -> int:
    """The low 64 bits as a signed number, as in int64 arithmetic."""
    x %= 2**64
    return x - 2**64 if x >= 2**63 else x


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        raise StemsError(f"{name} is {value}.", f"Give a number from {low:g} to {high:g}.", field=name)
