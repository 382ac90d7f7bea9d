"""A grid of codes for the language model to fill; some of its codes are known.

Text-to-music, continuation, editing with kept stems, free variation, texture variation and region edits are one
operation. Only the grid differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.errors import StemsError


@dataclass(frozen=True)
class Grid:
    """Columns to fill: ``codes`` ``[streams, columns]``, of which those marked ``known`` stay as they are.

    A known token may be the special id (no code). Unknown codes are ignored.
    """

    codes: Int[Tensor, "streams columns"]
    known: Bool[Tensor, "streams columns"]

    @classmethod
    def blank(cls, streams: int, columns: int) -> Grid:
        """A grid without known codes."""
        return cls(
            torch.zeros((streams, columns), dtype=torch.int64),
            torch.zeros((streams, columns), dtype=torch.bool),
        )

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.codes.shape[1]

    def after(self, prompt: Int[Tensor, "streams prompt_columns"]) -> Grid:
        """The same grid with known columns in front."""
        return Grid(
            torch.cat([prompt, self.codes], dim=1),
            torch.cat([torch.ones_like(prompt, dtype=torch.bool), self.known], dim=1),
        )

    def check(self, streams: int, special: int) -> None:
        """Refuse a grid of the wrong shape or with known codes out of range."""
        if self.codes.ndim != 2 or self.codes.shape[0] != streams or self.codes.shape != self.known.shape:
            raise StemsError(
                f"The grid's codes have shape {tuple(self.codes.shape)}, its mask {tuple(self.known.shape)}.",
                f"Give both as [{streams}, columns].",
                field="grid",
            )
        if not self.columns:
            raise StemsError("The grid has no columns.", "Ask for at least one frame.", field="grid")
        known = self.codes[self.known]
        if known.numel() and (int(known.min()) < 0 or int(known.max()) > special):
            raise StemsError(
                f"The grid has known codes from {int(known.min())} to {int(known.max())}.",
                f"Codes run from 0 to {special - 1}; {special} stands for no code.",
                field="grid",
            )
