"""Training the residual quantizer, on the buffers of ``transformers.EncodecModel`` itself.

transformers only uses codebooks. Here they are learned as in EnCodec (§3.2): initialised by k-means, moved by an
exponential moving average of the vectors assigned to each code; unused codes are replaced. Nothing is stored beside
the model's own ``embed``, ``embed_avg``, ``cluster_size`` and ``inited``, so a codec is an EncodecModel checkpoint at
every moment.

With several workers each update sees the vectors of all workers, in the order of the global batch: one process and
many learn the same codebooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class QuantizerSettings:
    """How codebooks are trained; the defaults are EnCodec's.

    ``dead_below``: a code used fewer times per step than this (moving average) is replaced. For batches with few
    vectors per code the limit is lower: a quarter of even use.
    """

    decay: float = 0.99
    kmeans_iterations: int = 50
    dead_below: float = 2.0
    epsilon: float = 1e-5


ENCODEC = QuantizerSettings()


def quantize(
    quantizer: Any, latent: Float[Tensor, "batch dim frames"]
) -> tuple[Float[Tensor, "batch dim frames"], Int[Tensor, "batch codebooks frames"], Float[Tensor, ""]]:
    """Quantize with straight-through gradients.

    Returns the quantized latents, the codes (those of ``quantizer.encode``), and the commitment loss: the mean
    over codebooks of the squared distance from the residual to the chosen vector. Always in float32: products in
    bfloat16 would choose other codes.
    """
    codes, losses = [], []
    with torch.autocast(latent.device.type, enabled=False):
        remainder = latent = latent.float()
        for layer in quantizer.layers:
            chosen = layer.encode(remainder.detach())
            vector = layer.decode(chosen)
            losses.append(torch.nn.functional.mse_loss(remainder, vector))
            remainder = remainder - vector
            codes.append(chosen)
        quantized = latent + (-remainder).detach()
    return quantized, torch.stack(codes, dim=1), torch.stack(losses).mean()


@torch.no_grad()
def start_codebooks(
    quantizer: Any,
    latent: Float[Tensor, "batch dim frames"],
    seed: int,
    settings: QuantizerSettings = ENCODEC,
) -> None:
    """Fit each new codebook by k-means to the residual of the codebooks before it; ``inited`` ones stay unchanged.

    ``latent`` comes from :func:`all_workers`, so it is the same on each worker.
    """
    remainder = _vectors(latent)
    for index, layer in enumerate(quantizer.layers):
        book = layer.codebook
        if not book.inited.item():
            means, counts = _kmeans(
                remainder, book.embed.shape[0], settings.kmeans_iterations, _draws(seed, 0, index)
            )
            book.embed.copy_(means)
            book.cluster_size.copy_(counts)
            book.embed_avg.copy_(means * counts[:, None])
            book.inited.fill_(1.0)
        remainder = remainder - book.embed[book.quantize(remainder)]


@torch.no_grad()
def settle_codebooks(quantizer: Any, vectors_a_step: int) -> None:
    """Rescale the moving averages to steps of this many vectors.

    The averages of a new codebook count its k-means vectors, those of an older codec the vectors of its steps.
    Without rescaling, live codes would count as dead, or would hardly move.
    """
    for layer in quantizer.layers:
        book = layer.codebook
        total = book.cluster_size.sum()
        even = torch.full_like(book.cluster_size, 1 / len(book.cluster_size))
        share = torch.where(total > 0, book.cluster_size / total.clamp(min=1e-9), even)
        book.cluster_size.copy_(share * vectors_a_step)
        book.embed_avg.copy_(book.embed * book.cluster_size[:, None])


@torch.no_grad()
def update_codebooks(
    quantizer: Any,
    latent: Float[Tensor, "batch dim frames"],
    codes: Int[Tensor, "batch codebooks frames"],
    seed: int,
    step: int,
    settings: QuantizerSettings = ENCODEC,
) -> Int[Tensor, " codebooks"]:
    """Move the codebooks after one step, given this worker's latents of the step and their codes.

    Returns the number of replaced dead codes per codebook.
    """
    remainder, replaced = _vectors(all_workers(latent)), []
    everywhere = all_workers(codes)
    for index, layer in enumerate(quantizer.layers):
        book, chosen = layer.codebook, everywhere[:, index].reshape(-1)
        vectors, remainder = remainder, remainder - book.embed[chosen]
        counts = torch.bincount(chosen, minlength=book.embed.shape[0]).to(vectors.dtype)
        sums = torch.zeros_like(book.embed).index_add_(0, chosen, vectors)
        book.cluster_size.lerp_(counts, 1 - settings.decay)
        book.embed_avg.lerp_(sums, 1 - settings.decay)
        replaced.append(_replace_dead(book, vectors, settings, _draws(seed, step + 1, index)))
        # Laplace smoothing avoids a division by nearly zero for rarely used codes.
        total = book.cluster_size.sum()
        size = (book.cluster_size + settings.epsilon) / (total + len(counts) * settings.epsilon) * total
        book.embed.copy_(book.embed_avg / size[:, None])
    return torch.stack(replaced)


def _replace_dead(
    book: Any, vectors: Float[Tensor, "n dim"], settings: QuantizerSettings, draws: np.random.Generator
) -> Int[Tensor, ""]:
    """Replace dead codes by vectors of the batch, with the averages of even use; returns the number of dead codes."""
    even = len(vectors) / book.embed.shape[0]
    dead = book.cluster_size < min(settings.dead_below, even / 4)
    picks = torch.from_numpy(draws.integers(len(vectors), size=book.embed.shape[0])).to(vectors.device)
    book.cluster_size.copy_(torch.where(dead, even, book.cluster_size))
    book.embed_avg.copy_(torch.where(dead[:, None], vectors[picks] * even, book.embed_avg))
    return dead.sum()


def _kmeans(
    vectors: Float[Tensor, "n dim"], clusters: int, iterations: int, draws: np.random.Generator
) -> tuple[Float[Tensor, "clusters dim"], Float[Tensor, " clusters"]]:
    """Cluster means and sizes; starts from random vectors, and an empty cluster keeps its mean."""
    count = len(vectors)
    picks = draws.permutation(count)[:clusters] if count >= clusters else draws.integers(count, size=clusters)
    means = vectors[torch.from_numpy(picks).to(vectors.device)].clone()
    counts = torch.ones(clusters, dtype=vectors.dtype, device=vectors.device)
    for _ in range(iterations):
        nearest = torch.cdist(vectors, means).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=clusters).to(vectors.dtype)
        sums = torch.zeros_like(means).index_add_(0, nearest, vectors)
        means = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], means)
    return means, counts


def _vectors(latent: Float[Tensor, "batch dim frames"]) -> Float[Tensor, "n dim"]:
    return latent.detach().transpose(1, 2).reshape(-1, latent.shape[1]).float()


def all_workers(mine: Tensor) -> Tensor:
    """All rows of a global batch, in order; worker r of w holds the items r, r + w, ….

    The first workers may hold one item more than the others.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return mine
    world = dist.get_world_size()
    items = torch.tensor(len(mine), device=mine.device)
    dist.all_reduce(items)
    room = -(-int(items) // world)
    padded = torch.cat([mine.detach(), mine.new_zeros(room - len(mine), *mine.shape[1:])])
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.stack(parts, dim=1).flatten(0, 1)[: int(items)]


def _draws(seed: int, step: int, codebook: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, step, codebook)))
