"""What is asked of the engine, and what it tells about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Bool, Int
from torch import Tensor

from models.errors import StemsError, not_finite
from models.lm.grid import Grid
from models.lm.sampling import Sampling
from models.lm.transformer import Condition


@dataclass(frozen=True)
class Request:
    """A song to fill.

    Args:
        grid: its frames, of any number, some of whose codes are known.
        condition: one text, or None.
        sampling: how tokens are drawn.
        hidden: for an edit, what the model must not hear of the grid's codes beforehand; every unknown code that is
            not an old one must be hidden. None for text-to-music and continuation.
    """

    grid: Grid
    condition: Condition | None = None
    sampling: Sampling = field(default_factory=Sampling)
    hidden: Bool[Tensor, "streams frames"] | None = None

    @property
    def guided(self) -> bool:
        """Whether it needs a second row, without the text."""
        return self.condition is not None and self.sampling.guidance != 1

    def check(self, streams: int, special: int, longest: int, text_positions: int) -> None:
        """Refuse what the engine cannot do; StemsError names the field."""
        self.grid.check(streams, special)
        if self.grid.columns > longest:
            raise StemsError(
                f"{self.grid.columns} frames are asked for.", f"At most {longest} can be made.", field="grid"
            )
        if self.hidden is not None and self.hidden.shape != self.grid.codes.shape:
            raise StemsError(
                f"What is hidden has shape {tuple(self.hidden.shape)}.",
                f"Give the grid's, {tuple(self.grid.codes.shape)}.",
                field="hidden",
            )
        if self.condition is not None:
            self._check_text(self.condition, text_positions)

    @staticmethod
    def _check_text(condition: Condition, text_positions: int) -> None:
        if condition.states.shape[0] != 1:
            raise StemsError(
                f"There are {condition.states.shape[0]} texts.", "Give one for each request.", field="prompt"
            )
        if not condition.states.isfinite().all():
            raise not_finite("text encoder")
        if (length := int(condition.attended.sum())) > text_positions:
            raise StemsError(
                f"The text takes {length} positions.", f"At most {text_positions} fit; shorten it.", field="prompt"
            )


@dataclass(frozen=True)
class Written:
    """Frames of a request that are complete: ``codes`` ``[streams, frames]`` from frame ``first`` on.

    ``done`` says that they are the last: of the song, or before ``error``, of which the request has died.
    """

    request: int
    first: int
    codes: Int[Tensor, "streams frames"]
    done: bool
    error: StemsError | None = None
