"""One window of a song as the engine decodes it: a delayed sequence in which some tokens are fixed."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from models.lm.delay import delay_codes
from models.lm.edit_sequence import edit_frames, prefix_frames, prompt_columns
from models.lm.grid import Grid
from models.lm.windows import Window


@dataclass(frozen=True)
class DelayedWindow:
    """The delayed sequence of a window. A step is open if at least one of its tokens is not fixed.

    Args:
        tokens: token ids; the engine replaces those that are not fixed.
        fixed: tokens that are given: known codes, and the special id in the places that the delay leaves empty.
        prefix_columns: columns before the first frame: an edit's prefix and transition, or 0.
        delays: the layout's delay of each stream, in steps.
        next_open: for each step, the first open step after it; the number of steps if there is none.
    """

    tokens: Int[Tensor, "streams steps"]
    fixed: Bool[Tensor, "streams steps"]
    prefix_columns: int
    delays: tuple[int, ...]
    next_open: tuple[int, ...]

    @classmethod
    def of(cls, grid: Grid, prefix_columns: int, delays: tuple[int, ...], special: int) -> DelayedWindow:
        """Delay a grid whose first ``prefix_columns`` columns are not frames."""
        tokens = delay_codes(grid.codes[None], delays, special)[0]
        fixed = delay_codes(grid.known[None].long(), delays, 1)[0].bool()
        steps = tokens.shape[1]
        next_open, following = [steps] * steps, steps
        is_open = (~fixed).any(dim=0).tolist()
        for step in reversed(range(steps)):
            next_open[step] = following
            following = step if is_open[step] else following
        return cls(tokens, fixed, prefix_columns, delays, tuple(next_open))

    @property
    def steps(self) -> int:
        """Length of the sequence."""
        return self.tokens.shape[1]

    def prefillable(self, position: int) -> int:
        """Steps from a position on that can be read in one pass, because all tokens of the step after each are fixed.

        The step before an open one is not among them: its logits draw the open step's tokens.
        """
        return self.next_open[position] - 1 - position

    def finished(self, position: int) -> bool:
        """Whether no open step comes after a position."""
        return self.next_open[position] == self.steps

    def complete_frames(self, position: int) -> int:
        """Frames of which all codes are there when a row is at a position."""
        behind = max(self.delays) + 1 + self.prefix_columns
        return min(self.steps - behind, max(0, self.next_open[position] - behind))

    def steps_of(self, stream: int, frames: slice) -> slice:
        """The steps that hold some frames of a stream."""
        shift = 1 + self.delays[stream] + self.prefix_columns
        return slice(frames.start + shift, frames.stop + shift)


def delayed_window(
    source: Grid,
    hidden: Bool[Tensor, "streams frames"] | None,
    decoded: Int[Tensor, "streams frames"],
    window: Window,
    delays: tuple[int, ...],
    special: int,
) -> DelayedWindow:
    """Lay out one window of a song.

    Args:
        source: the grid of the whole song, as requested.
        hidden: for an edit, the codes that its prefix hides; None for no prefix.
        decoded: the song's codes, with those that earlier windows have decoded.
        window: the frames of the window. Those that it shares with the window before are known.
        delays: the layout's delay of each stream, in steps.
        special: the special id.
    """
    part = slice(window.start, window.end)
    known = source.known[:, part].clone()
    known[:, : window.known_until - window.start] = True
    grid = Grid(decoded[:, part], known)
    if hidden is None:
        return DelayedWindow.of(grid, 0, delays, special)
    prompt = prompt_columns(source.codes[:, part], hidden[:, part], special)
    return DelayedWindow.of(grid.after(prompt), prompt.shape[1], delays, special)


def longest_window(segment_frames: int, delays: tuple[int, ...]) -> int:
    """Steps of the longest window: a segment of text-to-music, or an edit's prefix, transition and target."""
    target = edit_frames(segment_frames)
    return max(segment_frames, prefix_frames(target) + 1 + target) + max(delays) + 1
