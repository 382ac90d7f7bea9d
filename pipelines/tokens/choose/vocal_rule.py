"""Is a song sung? Its tags and its stored score decide, by rules that may change without listening again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SCORE = "score"
_TAG = "tag:"


@dataclass(frozen=True)
class VocalRule:
    """What makes a song count as sung.

    Args:
        threshold: vocal score above which it does.
        tags: normalised tags that say so, see :func:`normal_tag`.
    """

    threshold: float
    tags: frozenset[str]

    def by_tag(self, tags: Iterable[str]) -> str:
        """``tag:<tag>`` for the first tag that means singing, or empty."""
        return next((f"{_TAG}{tag}" for tag in map(normal_tag, tags) if tag in self.tags), "")

    def decide(self, tags: Iterable[str], score: float | None) -> str:
        """``tag:<tag>`` or ``score`` for a sung song; empty for one that is not, as far as is known."""
        return self.by_tag(tags) or (SCORE if score is not None and score > self.threshold else "")


def normal_tag(tag: str) -> str:
    """A tag without case, hyphens, underscores and extra spaces."""
    return " ".join(tag.casefold().replace("-", " ").replace("_", " ").split())
