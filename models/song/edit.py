"""What is to be done with a song's stems. Imports no torch: a service checks requests by it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from models.errors import StemsError
from models.stems import StemLayout


@dataclass(frozen=True)
class FromText:
    """A song that is generated from text alone.

    Args:
        seconds: its length.
    """

    seconds: float


@dataclass(frozen=True)
class Edit:
    """An edit of a song. Stems that are neither given nor silent are written, too.

    Args:
        regenerate: given stems to regenerate; the model does not see their old sound.
        texture: given stems whose first codebook stays while the others are regenerated: same notes, other sound.
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
