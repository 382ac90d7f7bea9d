"""One step: read a token of every stream for some rows, write the next ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from models.lm.engine.attention import FilledAttention, MaskedAttention
from models.lm.engine.gpu.launch import can_compile
from models.lm.engine.gpu.step import FusedStep
from models.lm.engine.network import Attention, DecodingNetwork
from models.lm.engine.rows import Rows
from models.lm.sampling import Sampling, choose, guide


@dataclass(frozen=True)
class DrawKind:
    """What the shapes of a draw depend on: the largest top_k (0 for none), and whether anyone has a top_p."""

    most_k: int
    nucleus: bool

    @classmethod
    def of(cls, samplings: Sequence[Sampling], fixed: bool) -> DrawKind:
        """The kind that fits all; where shapes should change seldom (``fixed``), one of few."""
        most = max(s.top_k for s in samplings)
        if fixed:
            most = next((size for size in _SIZES if most <= size), 2**31)
        return cls(most, any(s.top_p > 0 for s in samplings))


_SIZES = (0, 256)


def read_steps(
    network: DecodingNetwork, rows: Rows, taken: tuple[int, ...], columns: slice, attention: Attention
) -> None:
    """Read known steps of one request, in each of its rows."""
    steps = torch.arange(columns.start, columns.stop, device=rows.device)
    x = network.embed(rows.tokens[taken[0], :, columns].T, steps)
    network.through(x.repeat(len(taken), 1), attention)
    rows.position[list(taken)] = columns.stop


def step_of_some(
    network: DecodingNetwork,
    rows: Rows,
    leads: list[int],
    partners: list[int],
    attention: FilledAttention,
    kind: DrawKind,
) -> None:
    """One step of the attention's rows, of which those at the places ``leads`` draw."""
    _step(network, rows, attention.index, torch.tensor(leads), torch.tensor(partners), attention, kind)


def step_of_all(network: DecodingNetwork, rows: Rows, kind: DrawKind) -> None:
    """One step of every row, whether it moves or not: nothing but tensors decides what happens."""
    every = torch.arange(rows.count, device=rows.device)
    _step(network, rows, every, every, rows.partner, MaskedAttention(rows, rows.position), kind)


def _step(
    network: DecodingNetwork,
    rows: Rows,
    index: Int[Tensor, " rows"],
    leads: Int[Tensor, " leads"],
    partners: Int[Tensor, " leads"],
    attention: Attention,
    kind: DrawKind,
) -> None:
    at = rows.position[index]
    x = network.embed(rows.tokens[rows.leader[index], :, at], at)
    logits = network.logits(network.through(x, attention))

    lead, following = index[leads], at[leads] + 1
    guided = guide(logits[leads], logits[partners], rows.guidance[lead][:, None, None])
    chosen = choose(guided, rows.draws(lead, kind.most_k, kind.nucleus), following)
    moving = rows.moves[lead]
    rows.logit_sum.index_add_(0, lead, guided.sum(dim=(1, 2)).masked_fill(~moving, 0))
    stays = rows.fixed[lead, :, following] | ~moving[:, None]
    rows.tokens[lead, :, following] = torch.where(stays, rows.tokens[lead, :, following], chosen)
    rows.position += rows.moves


def whole_step(network: DecodingNetwork, rows: Rows) -> Callable[[DrawKind], None]:
    """:func:`step_of_all` of an engine: in kernels of its own and captured, where the device can."""
    if network.device.type != "cuda":
        return partial(step_of_all, network, rows)
    if can_compile() and FusedStep.fits(rows.shape):
        once = Captured(FusedStep(network, rows), rows)
        return lambda _: once()
    kinds: dict[DrawKind, Captured] = {}

    def step(kind: DrawKind) -> None:
        if kind not in kinds:
            kinds[kind] = Captured(partial(step_of_all, network, rows, kind), rows)
        kinds[kind]()

    return step


class Captured:
    """A step of all rows, recorded once as a CUDA graph and replayed: one launch instead of hundreds."""

    def __init__(self, step: Callable[[], None], rows: Rows) -> None:
        self._step, self._rows = step, rows
        self._replay: Callable[[], None] | None = None

    def __call__(self) -> None:
        """One step."""
        if self._replay is None:
            self._replay = self._record()
        self._replay()

    def _record(self) -> Callable[[], None]:
        moves = self._rows.moves.clone()
        self._rows.moves.zero_()  # warming up writes nothing that counts
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        self._rows.moves.copy_(moves)
        return graph.replay
