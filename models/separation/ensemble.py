"""One Demucs, or several whose outputs are weighted by source, as one function: where and in what they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING, Literal

import torch

from models.separation.overlap_add import Batch, Output

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs

Precision = Literal["float32", "bfloat16", "float16"]


class Ensemble:
    """Networks on one device.

    Args:
        networks: moved to the device, in evaluation mode from here on.
        weights: each network's weight for each source, in any unit.
        device: where they compute.
        precision: of convolutions and matrix products. Spectrograms, normalisations and what comes out stay in
            float32. None: what the device is fastest in.
    """

    def __init__(
        self,
        networks: Sequence[HTDemucs],
        weights: Sequence[Sequence[float]],
        device: torch.device,
        precision: Precision | None = None,
    ) -> None:
        self._device = device
        self._dtype = getattr(torch, precision) if precision else _fastest(device)
        self._networks = [network.to(device).eval() for network in networks]
        rows = torch.tensor(weights)
        self._weights = (rows / rows.sum(0))[:, :, None, None].to(device)

    def start(self, inputs: Batch) -> Callable[[], Output]:
        """Begin to compute a batch; the call that comes back waits for its output, in float32 on the CPU."""
        outputs = self._compute(inputs.to(self._device))
        if self._device.type != "cuda":
            return outputs.cpu
        arrived = outputs.to("cpu", non_blocking=True)
        event = torch.cuda.Event()
        event.record()

        def wait() -> Output:
            event.synchronize()
            return arrived

        return wait

    @torch.inference_mode()
    def _compute(self, inputs: Batch) -> Output:
        reduced = self._dtype != torch.float32
        with _fused_attention(), torch.autocast(self._device.type, self._dtype, enabled=reduced):
            outputs = [w * network(inputs) for network, w in zip(self._networks, self._weights, strict=True)]
        return reduce(torch.add, outputs).float()


def _fastest(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Without the "fast path" of `nn.MultiheadAttention`, which is slower than what it is meant to speed up.

    It writes all weights of the attention to memory (231 MB a window and layer in the released networks); the other
    path does not.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
