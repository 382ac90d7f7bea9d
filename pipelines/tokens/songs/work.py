"""What is to be done with one song in the second phase, and how that travels."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pipelines.catalog.schema import CatalogEntry, entry_from_json, entry_to_json

PROBE = ""
"""A line that goes through a phase's stages as any other, and holds no song: it shows that the cluster works."""


@dataclass(frozen=True)
class Work:
    """One song to tokenize.

    Args:
        entry: what the catalog says of it.
        song_id: its identity.
        seconds: its length.
        separator: id of what makes its stems.
        encode: stems whose codes are missing, in layout order.
        folder: where its stems are kept already; empty where they are to be made.
        vocal_score: of the whole song, as stored with its tokens or stems; None where it has neither.
        repair: where its stems are kept, but damaged; they are made again, and written there.
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
