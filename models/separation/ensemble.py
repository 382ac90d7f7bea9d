"""One Demucs, or several with outputs weighted per source, as one function with a device and a precision."""

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
        networks: the networks; they are moved to the device and set to evaluation mode.
        weights: each network's weight per source, in any unit.
        device: the device that computes.
        precision: of convolutions and matrix products; spectrograms, normalisations and the output stay in float32.
            None chooses the fastest for the device.
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
        """Start to compute a batch; the returned function waits for the output, in float32 on the CPU."""
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
    """Disable the "fast path" of `nn.MultiheadAttention`, which is slower than the normal path.

    It writes all attention weights to memory (231 MB per window and layer in the released networks); the normal path
    does not.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
