"""Prompts of songs in training: caption, tags, or both (as MusicGen trains).

A caption is one person's choice of words; merged with the tags, in any order and number, it teaches the model to
read short and long prompts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TextMerging:
    """How often caption and tags are merged.

    Args:
        merge_text: probability that the tags are joined to the caption.
        drop_description: probability that a merged caption is itself left out.
        drop_tag: probability that a tag is left out, drawn per tag.
    """

    merge_text: float
    drop_description: float
    drop_tag: float


def plain_prompt(caption: str, tags: Sequence[str]) -> str:
    """The caption, else the tags; empty for a song with neither."""
    return caption.strip() or ", ".join(tags)


def training_prompt(caption: str, tags: Sequence[str], merging: TextMerging, rng: np.random.Generator) -> str:
    """The prompt of one example, such as ``A slow groove. funk, bass guitar``.

    If every tag is left out the plain prompt is used: text dropout for guidance happens elsewhere.
    """
    if rng.random() >= merging.merge_text:
        return plain_prompt(caption, tags)
    kept = [tag for tag in rng.permutation(np.array(tags, dtype=object)) if rng.random() >= merging.drop_tag]
    described = rng.random() >= merging.drop_description
    if not kept:
        return plain_prompt(caption, tags)
    description = caption.strip().rstrip(".") if described else ""
    return ". ".join(part for part in (description, ", ".join(kept)) if part)
