"""One module on several workers: replicated (DDP) or sharded (FSDP2), with averaged gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from pipelines.training.loop.recipe import Place, Recipe


def distribute(recipe: Recipe, place: Place, *, bfloat16: bool) -> nn.Module:
    """Wrap the recipe's module for the loop.

    Units to shard hold their parameters in float32; with ``bfloat16`` they are gathered in it, and gradients are
    still reduced in float32. Modules outside the units (embeddings, heads) hold float32 weights, under autocast.
    """
    module, units = recipe.module, recipe.shard_units()
    if place.world == 1:
        return module
    if not units:
        # Buffers are equal on every worker by construction (their statistics are shared): no broadcast.
        return DistributedDataParallel(module, broadcast_buffers=False)
    mesh = init_device_mesh(place.device.type, (place.world,))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bfloat16 else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for unit in units:
        fully_shard(unit, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh)
    return module


@contextmanager
def gradients_shared(module: nn.Module, now: bool) -> Iterator[None]:
    """Average gradients over workers in the backward passes within, if ``now``; else leave it to a later pass."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(now)
        yield
    elif isinstance(module, DistributedDataParallel) and not now:
        with module.no_sync():
            yield
    else:
        yield


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Scale gradients to a norm of at most ``limit`` (0: no limit); returns the norm before, over all workers."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit or math.inf)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def summed_over_workers(values: Sequence[float], place: Place) -> list[float]:
    """The sum of each value over all workers."""
    if place.world == 1:
        return list(values)
    tensor = torch.tensor(values, device=place.device, dtype=torch.float64)
    dist.all_reduce(tensor)
    return list(tensor.tolist())


def agreed_on(value: int, place: Place) -> int:
    """The first worker's value, on all workers: a shared folder may look different to each."""
    if place.world == 1:
        return value
    found = [value]
    dist.broadcast_object_list(found, src=0)
    return found[0]


def all_finite(state: Mapping[str, Any], place: Place) -> bool:
    """Whether all tensors of a nested state, on all workers, are finite."""
    broken = sum(not _is_finite(tensor) for tensor in _tensors(state))
    return summed_over_workers([broken], place) == [0]


def _tensors(state: Mapping[str, Any]) -> Iterator[Tensor]:
    for value in state.values():
        if isinstance(value, Mapping):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield value.to_local() if isinstance(value, DTensor) else value


def _is_finite(tensor: Tensor) -> bool:
    # The sum is a fast test: a sum of finite numbers may overflow, but rarely does.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16 products; elsewhere they are slower than float32's."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
