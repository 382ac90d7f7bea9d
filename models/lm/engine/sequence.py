"""A request on its way through the engine: one sequence per take, in a group."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from models.errors import StemsError
from models.lm.engine.delayed_window import DelayedWindow, delayed_window
from models.lm.engine.network import DecodingNetwork
from models.lm.engine.request import Output, Request
from models.lm.engine.rows import Rows
from models.lm.sampling import noise_key
from models.lm.windows import Window, slide


@dataclass
class SequenceGroup:
    """The sequences of one request: its takes. They share the encoded text and the prefill of their first window."""

    request: Request
    sequences: list[Sequence] = field(default_factory=list)
    _text: list[tuple[Tensor, Tensor]] | None = None

    def text(self, network: DecodingNetwork) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the text, layer by layer; computed once."""
        if self._text is None:
            condition = self.request.condition
            self._text = [] if condition is None else network.text(condition)
        return self._text

    @property
    def text_length(self) -> int:
        """Positions of the text, once it has been computed."""
        return self._text[0][0].shape[1] if self._text else 0


class Sequence:
    """One take of a request. It decodes its windows one after the other, in the same rows.

    ``row_ids`` are its rows, the leader first; empty while it waits. ``position`` is the step that they read next.
    Of the song's frames, the first ``collected`` have been copied from the rows and the first ``reported`` have been
    put out.

    Args:
        id: unique in the engine.
        group: the sequences of the same request, this one included.
        seed: the take's.
        longest: frames of the longest window.
        delays: the layout's delay of each stream, in steps.
        special: the special id.
    """

    def __init__(
        self, id: int, group: SequenceGroup, seed: int, longest: int, delays: tuple[int, ...], special: int
    ) -> None:
        self.id, self.group, self.seed = id, group, seed
        self._delays, self._special = delays, special
        self.codes = self.request.grid.codes.clone()
        self.row_ids: tuple[int, ...] = ()
        self.position = self.collected = self.reported = 0
        self.done = False
        """Whether no window with unknown codes is left."""
        self._windows: list[Window] = slide(self.request.grid.columns, longest)
        self._index = -1
        self._window: DelayedWindow

    @property
    def request(self) -> Request:
        """The request of the group."""
        return self.group.request

    @property
    def leader(self) -> int:
        """The row that attends to the text, and whose tokens are drawn."""
        return self.row_ids[0]

    @property
    def partner(self) -> int:
        """The row without the text; the leader itself if the sequence is not guided."""
        return self.row_ids[-1]

    @property
    def rows_needed(self) -> int:
        """Rows that the sequence takes."""
        return 2 if self.request.guided else 1

    @property
    def text_length(self) -> int:
        """Positions of its text."""
        return self.group.text_length

    @property
    def prefillable(self) -> int:
        """Steps from the position on that can be read in one pass, before the one that draws a token."""
        return self._window.prefillable(self.position)

    @property
    def window_finished(self) -> bool:
        """Whether the current window has no open step left."""
        return self._window.finished(self.position)

    @property
    def complete_frames(self) -> int:
        """Frames of the song, from its first on, that are complete."""
        start = self._windows[self._index].start
        return max(self.reported, start + self._window.complete_frames(self.position))

    def advance_window(self, rows: Rows) -> None:
        """Load the next window that has unknown codes into the rows; without one, the sequence is done."""
        for index in range(self._index + 1, len(self._windows)):
            self._index, window, request = index, self._windows[index], self.request
            self._window = delayed_window(
                request.grid, request.hidden, self.codes, window, self._delays, self._special
            )
            self.position = 0
            if not self.window_finished:
                key = noise_key(self.seed, index)
                rows.begin_window(self.row_ids, self._window.tokens, self._window.fixed, key)
                return
            self.collected = window.end  # all of it was known
        self.done = True

    def prefilled_sibling(self) -> Sequence | None:
        """Another take that has already prefilled the first window, which this one is about to do."""
        return next((other for other in self._siblings() if other.position >= self.prefillable), None)

    def awaits_sibling(self) -> bool:
        """Whether an earlier take is prefilling the first window, so that this one can copy it."""
        own_place = self.group.sequences.index(self)
        return any(self.group.sequences.index(other) < own_place for other in self._siblings())

    def _siblings(self) -> list[Sequence]:
        """Takes in their first window, while this one is at the beginning of it."""
        if self._index or self.position:
            return []
        others = (other for other in self.group.sequences if other is not self)
        return [other for other in others if other.row_ids and other._index == 0]

    def collect(self, rows: Rows, end: int) -> None:
        """Copy the frames of the current window up to frame ``end`` of the song from the rows."""
        if end <= self.collected:
            return
        tokens = rows.tokens[self.leader].cpu()
        start, offset = self.collected, self._windows[self._index].start
        for stream in range(len(self._delays)):
            steps = self._window.steps_of(stream, slice(start - offset, end - offset))
            self.codes[stream, start:end] = tokens[stream, steps]
        self.collected = end

    def emit(self, end: int) -> Output:
        """Output the frames up to ``end`` that have not been reported yet."""
        start, self.reported = self.reported, end
        return Output(self.id, start, self.codes[:, start:end].clone(), done=end == self.codes.shape[1])

    def emit_error(self, error: StemsError) -> Output:
        """The last output of a sequence that ends early."""
        return Output(self.id, self.reported, self.codes[:, :0].clone(), done=True, error=error)
