"""Does a song have vocals? Its tags and its vocal score decide, by a rule that can change without listening again.

This module is the only place that compares a score with the threshold, and that says which threshold is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import StemsError
from pipelines.tokens.config import PrepareConfig

SCORE = "score"
_TAG = "tag:"


@dataclass(frozen=True)
class VocalRule:
    """What makes a song count as sung.

    Args:
        threshold: vocal score above which it does.
        tags: normalised tags that mean singing, see :func:`normal_tag`.
    """

    threshold: float
    tags: frozenset[str] = frozenset()

    def by_tag(self, tags: Iterable[str]) -> str:
        """``tag:<tag>`` for the first tag that means singing, or empty."""
        return next((f"{_TAG}{tag}" for tag in map(normal_tag, tags) if tag in self.tags), "")

    def by_score(self, score: float | None) -> str:
        """``score`` for a song whose vocal score is above the threshold; empty otherwise, and without a score."""
        return SCORE if score is not None and score > self.threshold else ""

    def decide(self, tags: Iterable[str], score: float | None) -> str:
        """``tag:<tag>`` or ``score`` for a sung song; empty for a song that is not sung, as far as is known."""
        return self.by_tag(tags) or self.by_score(score)


def vocal_rule(config: PrepareConfig, separator: Mapping[str, Any]) -> VocalRule:
    """The rule in force: the configuration's threshold, else the separator's own, else the general one.

    Args:
        config: of the job.
        separator: the separator's ``config.json``; empty for one without.

    Raises:
        StemsError: the separator's threshold was measured with the score of an earlier release, and none is given.
    """
    from models.separation.directory import outdated_threshold, stored_threshold
    from models.separation.vocals import DEFAULT_THRESHOLD

    tags = frozenset(map(normal_tag, config.vocal_tags))
    if config.vocal_threshold:
        return VocalRule(config.vocal_threshold, tags)
    if outdated_threshold(separator):
        raise StemsError(
            f"The vocal threshold of '{config.separator}' was measured with the vocal score of an earlier release.",
            "Give --vocal-threshold (`python -m benchmarks.vocals` measures it), or train the separator again.",
            code="outdated",
            field="vocal_threshold",
        )
    return VocalRule(stored_threshold(separator) or DEFAULT_THRESHOLD, tags)


def normal_tag(tag: str) -> str:
    """A tag without case, hyphens, underscores and extra spaces."""
    return " ".join(tag.casefold().replace("-", " ").replace("_", " ").split())
