"""One step: read the tokens at some rows' positions, and draw the tokens of the next position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from models.lm.engine.attention import MaskedAttention, RaggedAttention
from models.lm.engine.gpu.launch import can_compile
from models.lm.engine.gpu.step import FusedStep
from models.lm.engine.network import Attention, DecodingNetwork
from models.lm.engine.rows import Rows
from models.lm.sampling import Sampling, choose, guide

TOP_K_BUCKETS = (0, 256)
"""Values of ``most_k`` in full-batch mode; each needs a CUDA graph of its own. MusicGen's top_k, 250, fits."""

_EVERY_CODE = 2**31
"""The ``most_k`` for a top_k above all buckets: no codebook is larger."""


@dataclass(frozen=True)
class DrawKind:
    """What the shapes of a draw depend on.

    Args:
        most_k: the largest top_k, or more; 0 if no sequence has one.
        nucleus: whether any sequence has a top_p.
    """

    most_k: int
    nucleus: bool

    @classmethod
    def of(cls, samplings: Sequence[Sampling], fixed: bool) -> DrawKind:
        """The kind that fits all; with ``fixed``, its ``most_k`` is rounded up to one of few values."""
        most = max(s.top_k for s in samplings)
        if fixed:
            most = next((size for size in TOP_K_BUCKETS if most <= size), _EVERY_CODE)
        return cls(most, any(s.top_p > 0 for s in samplings))


def prefill(
    network: DecodingNetwork, rows: Rows, row_ids: tuple[int, ...], steps: slice, attention: Attention
) -> None:
    """Read several steps of one sequence in one pass, in each of its rows. Nothing is drawn."""
    positions = torch.arange(steps.start, steps.stop, device=rows.device)
    # The leader's tokens [streams, steps] -> [steps, streams] -> embedded [steps, dim], once for each row.
    x = network.embed(rows.tokens[row_ids[0], :, steps].T, positions)
    network.forward(x.repeat(len(row_ids), 1), attention)
    rows.finish_prefill(row_ids, steps)


def subset_step(
    network: DecodingNetwork,
    rows: Rows,
    leaders: list[int],
    partners: list[int],
    attention: RaggedAttention,
    kind: DrawKind,
) -> None:
    """One step of the attention's rows.

    Args:
        network: the transformer.
        rows: the engine's state.
        leaders: which of the attention's rows draw, as indices into its rows.
        partners: the row without text of each leader, as indices into the attention's rows.
        attention: the rows of the step, and what they attend to.
        kind: the kind of draw that fits all leaders.
    """
    _step(network, rows, attention.index, torch.tensor(leaders), torch.tensor(partners), attention, kind)


def batch_step(network: DecodingNetwork, rows: Rows, kind: DrawKind) -> None:
    """One step of every row. Only tensors decide what happens, so that a device can record it.

    Rows outside ``exec_mask`` are computed, too. Their tokens and positions stay as they are; the keys and values
    that they cache at their position are replaced when they read that step themselves.
    """
    every = torch.arange(rows.count, device=rows.device)
    _step(network, rows, every, every, rows.partner, MaskedAttention(rows, rows.position), kind)


def _step(
    network: DecodingNetwork,
    rows: Rows,
    index: Int[Tensor, " rows"],
    leaders: Int[Tensor, " leaders"],
    partners: Int[Tensor, " leaders"],
    attention: Attention,
    kind: DrawKind,
) -> None:
    """Advance rows by one step, in five stages.

    1. Embed the tokens at each row's position.
    2. Run the layers; they add this step to the KV cache.
    3. Guide: combine each leader's logits with its partner's.
    4. Draw a token for every stream of the next step.
    5. Store those that are not fixed, and move on the rows of ``exec_mask``.

    Args:
        network: the transformer.
        rows: the engine's state.
        index: the rows to compute.
        leaders: which of them draw, as indices into ``index``.
        partners: the row without text of each leader, as indices into ``index``.
        attention: what the rows attend to.
        kind: the kind of draw that fits all leaders.
    """
    position = rows.position[index]
    x = network.embed(rows.tokens[rows.leader[index], :, position], position)

    logits = network.logits(network.forward(x, attention))  # [rows, streams, cardinality]

    leader_ids, following = index[leaders], position[leaders] + 1
    guidance = rows.guidance[leader_ids][:, None, None]  # [leaders, 1, 1]
    guided = guide(logits[leaders], logits[partners], guidance)  # [leaders, streams, cardinality]

    drawn = choose(guided, rows.draws(leader_ids, kind.most_k, kind.nucleus), following)  # [leaders, streams]

    executed = rows.exec_mask[leader_ids]
    rows.check_sum.index_add_(0, leader_ids, guided.sum(dim=(1, 2)).masked_fill(~executed, 0))
    stays = rows.fixed[leader_ids, :, following] | ~executed[:, None]
    rows.tokens[leader_ids, :, following] = torch.where(stays, rows.tokens[leader_ids, :, following], drawn)
    rows.position += rows.exec_mask


def prepared_batch_step(network: DecodingNetwork, rows: Rows) -> Callable[[DrawKind], None]:
    """:func:`batch_step` of one engine, in the fastest way for its device.

    On CUDA it is captured as a graph; it runs in fused kernels if Triton is there and the heads' width fits.
    """
    if network.device.type != "cuda":
        return partial(batch_step, network, rows)
    if can_compile() and FusedStep.fits(rows.shape):
        fused = CapturedStep(FusedStep(network, rows), rows)

        def fused_step(kind: DrawKind) -> None:  # its kernels read every sampling parameter from the rows
            fused()

        return fused_step
    captured: dict[DrawKind, CapturedStep] = {}

    def step(kind: DrawKind) -> None:
        if kind not in captured:
            captured[kind] = CapturedStep(partial(batch_step, network, rows, kind), rows)
        captured[kind]()

    return step


class CapturedStep:
    """A step of all rows, recorded as a CUDA graph at its first call and replayed: one launch instead of hundreds."""

    def __init__(self, step: Callable[[], None], rows: Rows) -> None:
        self._step, self._rows = step, rows
        self._replay: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Run one step."""
        if self._replay is None:
            self._replay = self._record()
        self._replay()

    def _record(self) -> Callable[[], None]:
        exec_mask = self._rows.exec_mask.clone()
        self._rows.exec_mask.zero_()  # so that warming up advances no row
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        self._rows.exec_mask.copy_(exec_mask)
        return graph.replay
