"""Stems and the token streams of each.

The only place that maps stems to streams. A *stem* is an instrument group with a codec of its own; each of its
*codebooks* is one *stream* of the language model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import StemsError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
MIX = "mix"
"""Name of the sum of stems, so a stem may have this name only if it is the only one."""


@dataclass(frozen=True)
class Stem:
    """One stem: its name, its number of codebooks, and each codebook's delay in frames.

    Residual codebooks are delayed by one frame each unless said otherwise (paper §1).
    """

    name: str
    codebooks: int
    delays: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise StemsError(
                f"{self.name[:80]!r} cannot be a stem name; it is used for files and folders.",
                "Use up to 40 letters, digits, hyphens and underscores.",
                field="stems",
            )
        if self.codebooks < 1:
            raise StemsError(
                f"Stem '{self.name}' has {self.codebooks} codebooks.",
                "Give it at least one.",
                field="codebooks",
            )
        object.__setattr__(self, "delays", tuple(self.delays) or tuple(range(self.codebooks)))
        if len(self.delays) != self.codebooks or min(self.delays) < 0:
            raise StemsError(
                f"Stem '{self.name}' has {self.codebooks} codebooks and delays {self.delays}.",
                "Give one delay of 0 or more per codebook.",
                field="delays",
            )


@dataclass(frozen=True)
class StemLayout:
    """The stems in stream order, and everything derived from it.

    ``StemLayout((Stem("bass", 1), Stem("drums", 1), Stem("other", 4)))`` is the paper's: 6 streams, delays
    ``(0, 0, 0, 1, 2, 3)``. MusicGen is one stem ``mix`` of 4 codebooks.
    """

    stems: tuple[Stem, ...]

    def __post_init__(self) -> None:
        names = [stem.name for stem in self.stems]
        if not names or len({name.casefold() for name in names}) != len(names):
            raise StemsError(
                f"A layout needs distinct stems, but has {names}.", "Name each stem once.", field="stems"
            )
        if len(names) > 1 and MIX in names:
            raise StemsError(f"A stem has the name of the sum, '{MIX}'.", "Rename the stem.", field="stems")

    @property
    def names(self) -> tuple[str, ...]:
        """Stem names in stream order."""
        return tuple(stem.name for stem in self.stems)

    @property
    def streams(self) -> int:
        """Number of token streams K."""
        return sum(stem.codebooks for stem in self.stems)

    @property
    def delays(self) -> tuple[int, ...]:
        """Delay of each stream, in frames."""
        return tuple(delay for stem in self.stems for delay in stem.delays)

    @property
    def stream_names(self) -> tuple[str, ...]:
        """A readable name per stream: ``bass``, ``other-1`` …"""
        return tuple(
            stem.name if stem.codebooks == 1 else f"{stem.name}-{k + 1}"
            for stem in self.stems
            for k in range(stem.codebooks)
        )

    def slice(self, name: str) -> slice:
        """The streams of one stem; StemsError for an unknown stem."""
        start = 0
        for stem in self.stems:
            if stem.name == name:
                return slice(start, start + stem.codebooks)
            start += stem.codebooks
        raise StemsError(
            f"This model has no stem '{name}'.",
            f"Its stems are: {', '.join(self.names)}.",
            field="stem",
        )

    def stream_mask(self, names: Iterable[str]) -> tuple[bool, ...]:
        """True for each stream that belongs to one of the named stems."""
        mask = [False] * self.streams
        for name in names:
            part = self.slice(name)
            mask[part] = [True] * (part.stop - part.start)
        return tuple(mask)

    def maskable_sets(self, name: str) -> tuple[tuple[int, ...], ...]:
        """The stream sets of a stem that training may mask: its last codebook, its last two, … all of them.

        For the paper's ``other`` these are {4}, {4,3}, {4,3,2}, {4,3,2,1} (paper §III).
        """
        part = self.slice(name)
        return tuple(tuple(range(first, part.stop)) for first in range(part.stop - 1, part.start - 1, -1))

    def check_names(self, names: Collection[str], field: str) -> None:
        """Refuse names that are not stems of this layout."""
        for name in names:
            if name not in self.names:
                raise StemsError(
                    f"'{name}' is not a stem of this model.",
                    f"Choose from: {', '.join(self.names)}.",
                    field=field,
                )

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data for a configuration file."""
        return [{"name": s.name, "codebooks": s.codebooks, "delays": list(s.delays)} for s in self.stems]

    @classmethod
    def from_dict(cls, stems: Iterable[Mapping[str, Any]]) -> StemLayout:
        """The inverse of :meth:`to_dict`."""
        return cls(tuple(Stem(s["name"], int(s["codebooks"]), tuple(s.get("delays", ()))) for s in stems))

    @classmethod
    def parse(cls, text: str) -> StemLayout:
        """Read the short form ``bass:1,drums:1,other:4``."""
        stems = []
        for part in text.split(","):
            name, _, count = part.strip().partition(":")
            if not name or (count and not count.isdigit()):
                raise StemsError(
                    f"'{part}' is not a stem.",
                    "Write name:codebooks, as in bass:1,drums:1,other:4.",
                    field="layout",
                )
            stems.append(Stem(name, int(count or 1)))
        return cls(tuple(stems))

    def __str__(self) -> str:
        return ",".join(f"{stem.name}:{stem.codebooks}" for stem in self.stems)


MUSICGEN_STEM = StemLayout((Stem("bass", 1), Stem("drums", 1), Stem("other", 4)))
MUSICGEN_STEM_7CB = StemLayout((Stem("bass", 2), Stem("drums", 1), Stem("other", 4)))
MUSICGEN = StemLayout((Stem("mix", 4),))
