"""What is to be done with a song's stems, and the grid that asks a language model for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.errors import StemsError
from models.lm.engine.request import Request
from models.lm.grid import Grid
from models.stems import StemLayout


@dataclass(frozen=True)
class Edit:
    """An edit of a song. Stems that are neither given nor silent are written, too.

    Args:
        regenerate: given stems to write anew; what they were is hidden from the model.
        texture: given stems whose first codebook stays while the others are written anew: same notes, other sound.
        silent: stems that are to stay silent.
        region: where to write ``regenerate`` and ``texture``, in seconds; they stay as they are before and after,
            and the model hears that. None for everywhere.
        exact: keep all else as it is; otherwise it is rewritten, too (in the region), as a variation.
    """

    regenerate: Collection[str] = ()
    texture: Collection[str] = ()
    silent: Collection[str] = ()
    region: tuple[float, float] | None = None
    exact: bool = True

    def check(self, layout: StemLayout, given: Collection[str]) -> None:
        """Refuse unknown stems, contradictions, and edits that change nothing or leave nothing to fit to."""
        named = {
            "stems": given,
            "regenerate": self.regenerate,
            "texture": self.texture,
            "silent": self.silent,
        }
        for what, names in named.items():
            layout.check_names(names, what)
        for name in self.silent:
            if name in (*given, *self.regenerate, *self.texture):
                raise StemsError(
                    f"'{name}' cannot be silent and also given or regenerated.", "Choose one.", field="silent"
                )
        for name in self.texture:
            self._check_texture(name, layout, given)
        self._check_region(given)
        if not self.wanted(layout, given) and not self.texture:
            raise StemsError(
                "Nothing would change: every stem is kept.", "Name a stem to regenerate.", field="regenerate"
            )
        if self.region is None and not self.texture and not set(given) - self.wanted(layout, given):
            raise StemsError(
                "Every stem would be regenerated, and none is left as context.",
                "Keep at least one, or generate a song.",
                field="regenerate",
            )

    def _check_texture(self, name: str, layout: StemLayout, given: Collection[str]) -> None:
        if name not in given or name in self.regenerate:
            raise StemsError(
                f"'{name}' cannot get another texture: it is {'regenerated' if name in given else 'not given'}.",
                "Give the stem whose notes are to stay.",
                field="texture",
            )
        part = layout.slice(name)
        if part.stop - part.start < 2:
            raise StemsError(
                f"'{name}' has one codebook: its notes and its texture are one.",
                "Regenerate it instead.",
                field="texture",
            )

    def _check_region(self, given: Collection[str]) -> None:
        if self.region is None:
            return
        if not (self.regenerate or self.texture):
            raise StemsError(
                "A region was given, but no stem to change in it.", "Name a stem to regenerate.", field="regenerate"
            )
        for name in self.regenerate:
            if name not in given:
                raise StemsError(
                    f"'{name}' is not given, so nothing of it can be kept outside the region.",
                    "Give it, or leave the region out.",
                    field="region",
                )

    def wanted(self, layout: StemLayout, given: Collection[str]) -> set[str]:
        """The stems that are written whole: those to regenerate, and those that are missing."""
        return (set(layout.names) - set(given) - set(self.silent)) | set(self.regenerate)

    def frames(self, count: int, frame_rate: float) -> slice:
        """The frames of the region in a song of so many."""
        if self.region is None:
            return slice(0, count)
        start, end = self.region
        length = count / frame_rate
        if not 0 <= start < end <= length + 1 / frame_rate:  # also refuses NaN
            raise StemsError(
                f"The region from {start:g} to {end:g} s is not in this song of {length:.2f} s.",
                "Give a start and a later end within it.",
                field="region",
            )
        first = min(int(start * frame_rate), count - 1)
        return slice(first, max(first + 1, min(count, round(end * frame_rate))))


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
