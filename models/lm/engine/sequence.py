"""One request on its way through the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from models.errors import StemsError
from models.lm.engine.delayed_window import Sheet, window_sheet
from models.lm.engine.network import DecodingNetwork
from models.lm.engine.request import Request, Written
from models.lm.engine.rows import Rows
from models.lm.sampling import random_key
from models.lm.windows import Window, slide


@dataclass
class Family:
    """The takes of one request. What its text and its first known steps are to the model is computed once."""

    request: Request
    jobs: list[Job] = field(default_factory=list)
    _text: list[tuple[Tensor, Tensor]] | None = None

    def text(self, network: DecodingNetwork) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the text."""
        if self._text is None:
            condition = self.request.condition
            self._text = [] if condition is None else network.text(condition)
        return self._text

    @property
    def texts(self) -> int:
        """Positions of the text, once it has been computed."""
        return self._text[0][0].shape[1] if self._text else 0


class Job:
    """A request, or one take of it: its windows one after the other, in the same rows.

    ``taken`` are its rows, the leader first; empty while it waits. ``position`` is the step to be read next.
    """

    def __init__(
        self, number: int, family: Family, seed: int, longest: int, delays: tuple[int, ...], special: int
    ) -> None:
        self.number, self.family, self.seed = number, family, seed
        self._delays, self._special = delays, special
        self.windows: list[Window] = slide(self.request.grid.columns, longest)
        self.codes = self.request.grid.codes.clone()
        self.taken: tuple[int, ...] = ()
        self.window = -1
        self.position = self.kept = self.told = 0
        self.sheet: Sheet

    @property
    def request(self) -> Request:
        """What was asked for."""
        return self.family.request

    @property
    def needs(self) -> int:
        """Rows that it takes."""
        return 2 if self.request.guided else 1

    @property
    def texts(self) -> int:
        """Positions of its text."""
        return self.family.texts

    @property
    def known_ahead(self) -> int:
        """Steps that can be read at once, before the one that draws a token."""
        return self.sheet.next_open[self.position] - 1 - self.position

    @property
    def finished(self) -> bool:
        """Whether the window has nothing left to write."""
        return self.sheet.finished(self.position)

    def next_window(self, rows: Rows) -> bool:
        """Begin the next window that has something to write; False where there is none."""
        while self.window + 1 < len(self.windows):
            self.window += 1
            window, request = self.windows[self.window], self.request
            self.sheet = window_sheet(request.grid, request.hidden, self.codes, window, self._delays, self._special)
            self.position = 0
            if not self.finished:
                rows.write(self.taken, self.sheet.tokens, self.sheet.fixed, random_key(self.seed, self.window))
                return True
            self.kept = max(self.kept, window.end)  # all of it is known
        return False

    def sibling(self) -> Job | None:
        """Another take that has read the first window's known steps, or will have before this one."""
        if self.window or self.position:
            return None
        mine = self.family.jobs.index(self)
        for place, other in enumerate(self.family.jobs):
            if other.taken and other.window == 0 and (other.position >= self.known_ahead or place < mine):
                return other
        return None

    @property
    def complete(self) -> int:
        """Frames of the song that are complete."""
        return max(self.told, self.windows[self.window].start + self.sheet.complete(self.position))

    def keep(self, rows: Rows, end: int) -> None:
        """Take over the frames up to ``end`` of this window from its rows."""
        start, window = self.kept, self.windows[self.window].start
        if end <= start:
            return
        tokens = rows.tokens[self.taken[0]].cpu()
        for stream in range(len(self._delays)):
            self.codes[stream, start:end] = tokens[
                stream, self.sheet.place(stream, slice(start - window, end - window))
            ]
        self.kept = end

    def fail(self, error: StemsError) -> Written:
        """The last that is told, of a request that ends before its song does."""
        return Written(self.number, self.told, self.codes[:, :0].clone(), done=True, error=error)

    def tell(self, end: int) -> Written:
        """Frames up to ``end`` that have not been told yet."""
        start, self.told = self.told, end
        return Written(self.number, start, self.codes[:, start:end].clone(), end == self.codes.shape[1])
