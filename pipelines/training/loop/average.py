"""The moving average of the weights, which is validated and exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class WeightAverage:
    """An exponential moving average of all floating-point tensors in a module's state, including buffers.

    Buffers such as codebooks belong to the weights that made them. The decay rises with the number of updates n, as
    (1 + n) / (10 + n), up to ``decay``, so that a short run does not stay close to its initial weights. Shards of a
    module are averaged locally.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self._module = decay, module
        self.state = {name: value.detach().clone() for name, value in self._live().items()}

    @torch.no_grad()
    def update(self, number: int) -> None:
        """Add the current weights; ``number`` counts updates from 0."""
        decay = min(self.decay, (1 + number) / (10 + number))
        for name, value in self._live().items():
            _here(self.state[name]).lerp_(_here(value.detach()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the module compute with the average within this context."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, value in self._live().items():
            live, average = _here(value.detach()), _here(self.state[name])
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)

    def _live(self) -> dict[str, Tensor]:
        state = self._module.state_dict()
        return {name: value for name, value in state.items() if torch.is_floating_point(value)}


def _here(value: Tensor) -> Tensor:
    """The part of a tensor that this worker holds."""
    return value.to_local() if isinstance(value, DTensor) else value
