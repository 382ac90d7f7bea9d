"""What the engine is asked for to edit a song: the grid of known codes, and the sound that stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.lm.engine.request import Request
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


@dataclass(frozen=True)
class Draft:
    """A song that the engine can be asked for, and the sound that stays.

    Args:
        request: what to ask.
        samples: length of the song.
        sound: mono samples of stems as they were given, or silent; not of those that are written whole.
        changed: which of them get a new sound.
        written: from which sample to which.
    """

    request: Request
    samples: int
    sound: dict[str, np.ndarray] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    written: slice = field(default_factory=lambda: slice(0, 0))

    def decodes(self, name: str) -> bool:
        """Whether a stem's sound comes of codes, at least in part."""
        return name not in self.sound or name in self.changed

    def kept(self, name: str, first: int, count: int) -> np.ndarray:
        """Samples of a stem that stays as it is."""
        return self.sound[name][first : first + count]

    def heard(self, name: str, first: int, decoded: np.ndarray) -> np.ndarray:
        """Samples of a stem from ``first`` on: as decoded where it was written, and as it was elsewhere.

        The old sound stays to the bit before and after what was written.
        """
        if name not in self.sound:
            return decoded
        share = self._share[first : first + len(decoded)]
        return self.kept(name, first, len(decoded)) * (1 - share) + decoded * share

    @cached_property
    def _share(self) -> np.ndarray:
        """How much of the new sound is heard at each sample, 0 to 1."""
        start, stop = self.written.start, min(self.written.stop, self.samples)
        share = np.zeros(self.samples, dtype=np.float32)
        share[start:stop] = 1
        fade = min(FADE, (stop - start) // 2)
        rise = np.linspace(0, 1, fade, dtype=np.float32)
        if start > 0:
            share[start : start + fade] = rise
        if stop < self.samples:
            share[stop - fade : stop] = rise[::-1]
        return share


FADE = 320
"""Samples over which one sound turns into another, inside of what was written: 10 ms at 32 kHz."""
