"""The work on one song in the second phase, and its form as text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pipelines.catalog.schema import CatalogEntry, entry_from_json, entry_to_json

PROBE = ""
"""A line without a song that passes a phase's stages like any other: it shows that the cluster works."""


@dataclass(frozen=True)
class Work:
    """One song to tokenize.

    Args:
        entry: its catalog entry.
        song_id: its identity.
        seconds: its length.
        separator: id of the separator that makes its stems, or "given".
        encode: stems whose codes are missing, in layout order.
        folder: folder of its kept stems; empty if they are to be made.
        vocal_score: of the whole song, stored with its tokens or stems; None if it has neither.
        repair: folder of kept stems that are damaged, where they are written again; empty for none.
    """

    entry: CatalogEntry
    song_id: str
    seconds: float
    separator: str
    encode: tuple[str, ...]
    folder: str = ""
    vocal_score: float | None = None
    repair: str = ""


def work_to_json(work: Work) -> str:
    """As one line of text."""
    return json.dumps({**asdict(work), "entry": entry_to_json(work.entry)}, ensure_ascii=False)


def work_from_json(text: str) -> Work:
    """The inverse of :func:`work_to_json`."""
    values = json.loads(text)
    return Work(**{**values, "entry": entry_from_json(values["entry"]), "encode": tuple(values["encode"])})
