"""Generation: fill what is unknown in a grid of codes.

Text-to-music, continuation, editing with kept stems, free variation, texture variation and region edits are
one operation: a grid of columns, some tokens of which are known. Only the grid differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.delay import delay_codes, undelay_codes
from models.errors import StemsError
from models.lm.sampling import Sampling, choose, guide
from models.lm.transformer import Condition, StemTransformer


@dataclass(frozen=True)
class Grid:
    """Columns to fill: ``codes`` ``[streams, columns]``, of which those marked ``known`` stay as they are.

    A known token may be the special id (a hidden prefix position). Unknown codes are ignored.
    """

    codes: Int[Tensor, "streams columns"]
    known: Bool[Tensor, "streams columns"]

    @classmethod
    def blank(cls, streams: int, columns: int) -> Grid:
        """Nothing known."""
        return cls(
            torch.zeros((streams, columns), dtype=torch.int64),
            torch.zeros((streams, columns), dtype=torch.bool),
        )

    def after(self, prompt: Int[Tensor, "streams prompt_columns"]) -> Grid:
        """The same grid with known columns before it."""
        return Grid(
            torch.cat([prompt, self.codes], dim=1),
            torch.cat([torch.ones_like(prompt, dtype=torch.bool), self.known], dim=1),
        )

    def check(self, streams: int, special: int) -> None:
        """Refuse a grid of the wrong shape or with known codes out of range."""
        if self.codes.shape != self.known.shape or self.codes.shape[0] != streams or not self.codes.shape[1]:
            raise StemsError(
                f"The grid has shape {tuple(self.codes.shape)}.",
                f"Give {streams} streams and at least one column.",
                field="grid",
            )
        known = self.codes[self.known]
        if known.numel() and (int(known.min()) < 0 or int(known.max()) > special):
            raise StemsError(
                "The grid has known codes out of range.", f"Codes run from 0 to {special - 1}.", field="grid"
            )


@torch.inference_mode()
def fill(
    model: StemTransformer,
    grids: Sequence[Grid],
    conditions: Sequence[Condition | None],
    samplings: Sequence[Sampling],
    delays: tuple[int, ...],
    progress: Callable[[float], None] | None = None,
) -> list[Int[Tensor, "streams columns"]]:
    """Fill several grids together; each result depends on its own grid, text and seed alone.

    Args:
        model: the transformer.
        grids: one a request; shorter ones are padded.
        conditions: one row of text each, or None for no text.
        samplings: parameters of each request; a missing seed is drawn.
        delays: the layout's delays.
        progress: called with the share done, after each step.
    """
    for grid in grids:
        grid.check(model.size.streams, model.special)
    device = model.heads.weight.device
    columns = max(grid.codes.shape[1] for grid in grids)
    sequence, fixed = _delayed_batch(grids, columns, delays, model.special, device)
    steps = sequence.shape[-1]
    # Everything known in all requests before the first unknown token is read in one pass.
    unknown_steps = (~fixed).any(dim=0).any(dim=0).nonzero()
    if not len(unknown_steps):
        return _results(sequence, grids, delays)
    first, last = int(unknown_steps[0]), int(unknown_steps[-1])

    guided = [
        i for i, (c, s) in enumerate(zip(conditions, samplings, strict=True)) if c is not None and s.guidance != 1
    ]
    nothing = Condition.null(1, model.size.text_dim, device)
    rows = [condition or nothing for condition in conditions] + [nothing] * len(guided)
    cache = model.start(Condition.cat(rows), capacity=steps)
    owners = torch.tensor([*range(len(grids)), *guided], device=device)
    generators = [torch.Generator().manual_seed(sampling.seeded()) for sampling in samplings]

    logits = model.advance(sequence[owners][..., :first], cache)
    for step in range(first, last + 1):
        merged = list(logits[: len(grids)].float())
        for position, i in enumerate(guided):
            merged[i] = guide(merged[i], logits[len(grids) + position].float(), samplings[i].guidance)
        chosen = torch.stack([choose(m, s, g) for m, s, g in zip(merged, samplings, generators, strict=True)])
        sequence[..., step] = torch.where(fixed[..., step], sequence[..., step], chosen)
        if progress is not None:
            progress((step + 1 - first) / (last + 1 - first))
        if step < last:
            logits = model.advance(sequence[owners][..., step : step + 1], cache)
    return _results(sequence, grids, delays)


def _delayed_batch(
    grids: Sequence[Grid], columns: int, delays: tuple[int, ...], special: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    streams = len(delays)
    codes = torch.full((len(grids), streams, columns), special, dtype=torch.int64)
    known = torch.ones((len(grids), streams, columns), dtype=torch.int64)
    for row, grid in enumerate(grids):
        width = grid.codes.shape[1]
        codes[row, :, :width] = grid.codes
        known[row, :, :width] = grid.known.long()
    # The places that the delay leaves empty are known too: they hold the special id.
    return delay_codes(codes, delays, special).to(device), delay_codes(known, delays, 1).bool().to(device)


def _results(sequence: Tensor, grids: Sequence[Grid], delays: tuple[int, ...]) -> list[Tensor]:
    codes = undelay_codes(sequence, delays).cpu()
    return [codes[row, :, : grid.codes.shape[1]] for row, grid in enumerate(grids)]
