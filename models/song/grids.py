"""The grids that ask a language model for an edit or a continuation of a song."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.lm.grid import Grid
from models.song.edit import Edit
from models.stems import StemLayout


def edit_grid(
    layout: StemLayout, codes: Mapping[str, Int[Tensor, "codebooks frames"]], edit: Edit, region: slice
) -> tuple[Grid, Bool[Tensor, "streams frames"]]:
    """The grid of an edit, and what its prefix hides.

    Args:
        layout: the stems.
        codes: of given and of silent stems; those that are wanted everywhere may be missing.
        edit: what to do.
        region: the frames to write of stems that are regenerated or get another texture.
    """
    frames = next(iter(codes.values())).shape[1]
    grid = Grid.blank(layout.streams, frames)
    hidden = torch.zeros(grid.codes.shape, dtype=torch.bool)
    for name in layout.names:
        part = layout.slice(name)
        if name in edit.texture:
            hidden[part.start + 1 : part.stop, region] = True
        elif name in edit.regenerate:
            hidden[part, region] = True
        elif name not in codes:
            hidden[part] = True
        if name in codes:
            grid.codes[part] = codes[name]
    grid.known[:] = ~hidden
    if not edit.exact:
        silent = torch.tensor(layout.stream_mask(edit.silent))
        grid.known[~silent, region] = False
    return grid, hidden


def continuation_grid(
    layout: StemLayout, codes: Mapping[str, Int[Tensor, "codebooks _"]], frames: int
) -> tuple[Grid, Bool[Tensor, "streams frames"] | None]:
    """The grid of a continuation, and what its prefix hides: None for no prefix, where all stems go on.

    Args:
        layout: the stems.
        codes: of each stem, what is known of it from its first frame on.
        frames: of the song with its new part.
    """
    grid = Grid.blank(layout.streams, frames)
    for name, known in codes.items():
        grid.codes[layout.slice(name), : known.shape[1]] = known
        grid.known[layout.slice(name), : known.shape[1]] = True
    return grid, ~grid.known if bool(grid.known[:, -1].any()) else None
