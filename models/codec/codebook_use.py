"""How evenly a codec uses its codebooks. SI-SDR is in ``pipelines.evaluation.sdr``, shared with separation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class CodebookUse:
    """Use of one codebook: the exponential of the codes' entropy, and the number of codes that occur."""

    perplexity: float
    used: int


def codebook_use(codes: Int[Tensor, "batch codebooks frames"], cardinality: int) -> list[CodebookUse]:
    """The use of each codebook. Perplexity is between 1 and ``cardinality`` (even use)."""
    found = []
    for book in codes.transpose(0, 1):
        counts = torch.bincount(book.reshape(-1), minlength=cardinality)
        found.append(CodebookUse(perplexity(counts), int(counts.count_nonzero())))
    return found


def perplexity(counts: Shaped[Tensor, " codes"]) -> float:
    """The exponential of the entropy of code counts."""
    share = counts[counts > 0].double() / counts.sum()
    return float((-(share * share.log()).sum()).exp())
