"""One window of a request as the engine fills it: columns behind their delays, and where nothing is known yet."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from models.lm.delay import delay_codes
from models.lm.edit_sequence import edit_frames, prefix_frames, prompt_columns
from models.lm.grid import Grid
from models.lm.windows import Window


@dataclass(frozen=True)
class Sheet:
    """A delayed sequence ``[streams, steps]``, of which ``fixed`` tokens are known; frames begin at column ``lead``.

    ``next_open`` tells for every step the next one with an unknown token; the number of steps where there is none.
    """

    tokens: Int[Tensor, "streams steps"]
    fixed: Bool[Tensor, "streams steps"]
    lead: int
    delays: tuple[int, ...]
    next_open: tuple[int, ...]

    @classmethod
    def of(cls, grid: Grid, lead: int, delays: tuple[int, ...], special: int) -> Sheet:
        """Delay a grid. Places that the delay leaves empty are known: they hold the special id."""
        tokens = delay_codes(grid.codes[None], delays, special)[0]
        fixed = delay_codes(grid.known[None].long(), delays, 1)[0].bool()
        following, after = [tokens.shape[1]] * tokens.shape[1], tokens.shape[1]
        is_open = (~fixed).any(dim=0).tolist()
        for step in reversed(range(len(following))):
            following[step] = after
            after = step if is_open[step] else after
        return cls(tokens, fixed, lead, delays, tuple(following))

    @property
    def steps(self) -> int:
        """Length of the sequence."""
        return self.tokens.shape[1]

    def finished(self, position: int) -> bool:
        """Whether nothing is unknown once a position has been reached."""
        return self.next_open[position] == self.steps

    def complete(self, position: int) -> int:
        """Frames of which every stream is known once a position has been reached."""
        frames = self.steps - 1 - max(self.delays) - self.lead
        return min(frames, max(0, self.next_open[position] - 1 - max(self.delays) - self.lead))

    def place(self, stream: int, frames: slice) -> slice:
        """Where some frames of a stream are in the sequence."""
        shift = 1 + self.delays[stream] + self.lead
        return slice(frames.start + shift, frames.stop + shift)


def window_sheet(
    source: Grid,
    hidden: Bool[Tensor, "streams frames"] | None,
    written: Int[Tensor, "streams frames"],
    window: Window,
    delays: tuple[int, ...],
    special: int,
) -> Sheet:
    """The sheet of one window of a song.

    Args:
        source: the song's grid, as asked for.
        hidden: what an edit's prefix hides; None for no prefix.
        written: the song's codes, as far as earlier windows have written them.
        window: which frames; what the window before wrote of them is known.
        delays: the layout's.
        special: the special id.
    """
    part = slice(window.start, window.end)
    known = source.known[:, part].clone()
    known[:, : window.known_until - window.start] = True
    grid = Grid(written[:, part], known)
    if hidden is None:
        return Sheet.of(grid, 0, delays, special)
    shown = prompt_columns(source.codes[:, part], hidden[:, part], special)
    return Sheet.of(grid.after(shown), shown.shape[1], delays, special)


def longest_sheet(segment_frames: int, delays: tuple[int, ...]) -> int:
    """Steps of the longest window: a text's segment, or an edit's prefix, transition and target."""
    target = edit_frames(segment_frames)
    return max(segment_frames, prefix_frames(target) + 1 + target) + max(delays) + 1
