"""Input and output of the engine."""

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
    """A grid to fill.

    Args:
        grid: any number of frames; the engine draws the unknown codes.
        condition: one encoded text, or None.
        sampling: sampling parameters.
        hidden: for an edit, the codes that its prefix hides from the model. Unknown codes must be hidden, unless the
            grid holds an old code there. None for text-to-music and continuation.
    """

    grid: Grid
    condition: Condition | None = None
    sampling: Sampling = field(default_factory=Sampling)
    hidden: Bool[Tensor, "streams frames"] | None = None

    @property
    def guided(self) -> bool:
        """Whether guidance needs a second row, without the text."""
        return self.condition is not None and self.sampling.guidance != 1

    def check(self, streams: int, special: int, longest: int, text_positions: int) -> None:
        """Refuse a request that the engine cannot serve.

        Args:
            streams: streams of the model.
            special: the special id.
            longest: frames of the longest request.
            text_positions: positions of the longest text.

        Raises:
            StemsError: it names the field.
        """
        self.grid.check(streams, special)
        if self.grid.columns > longest:
            raise StemsError(
                f"The request has {self.grid.columns} frames.", f"At most {longest} are possible.", field="grid"
            )
        if self.hidden is not None and self.hidden.shape != self.grid.codes.shape:
            raise StemsError(
                f"The mask of hidden codes has shape {tuple(self.hidden.shape)}.",
                f"Give the grid's shape, {tuple(self.grid.codes.shape)}.",
                field="hidden",
            )
        if self.condition is not None:
            self._check_text(self.condition, text_positions)

    @staticmethod
    def _check_text(condition: Condition, text_positions: int) -> None:
        if condition.states.shape[0] != 1:
            raise StemsError(
                f"The request has {condition.states.shape[0]} texts.", "Give one per request.", field="prompt"
            )
        if not condition.states.isfinite().all():
            raise not_finite("text encoder")
        if (length := int(condition.attended.sum())) > text_positions:
            raise StemsError(
                f"The text takes {length} positions.", f"At most {text_positions} fit; shorten it.", field="prompt"
            )


@dataclass(frozen=True)
class Phases:
    """Which sequences took part in a step, by id: those that read known steps, and those that decoded a step.

    Sequences that waited for others to be prefilled count as ``prefill``.
    """

    prefill: tuple[int, ...] = ()
    decode: tuple[int, ...] = ()


@dataclass(frozen=True)
class Output:
    """Newly completed frames of one sequence.

    Args:
        sequence_id: which sequence, as :meth:`~models.lm.engine.engine.Engine.submit` returned it.
        first: index of the first of these frames in the song.
        codes: the frames.
        done: whether the sequence has ended: with these frames, or early with an error.
        error: why it ended early. There are then no frames.
    """

    sequence_id: int
    first: int
    codes: Int[Tensor, "streams frames"]
    done: bool
    error: StemsError | None = None
