"""Rules of the contract about several rows: of one table, and of several tables together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.audio.signature import EMPTY, SLOTS
from pipelines.table.splits import SUNG, TRAIN, VALID, near_groups
from pipelines.tokens.songs.reasons import FAILED, REASONS
from pipelines.upkeep.rules.code_rules import row_names
from pipelines.upkeep.rules.verify_rules import Findings


def check_keys(name: str, rows: pa.Table, key: Sequence[str], findings: Findings) -> None:
    """``keys``: each key of a table occurs once, and is not null; ``rows`` has the key columns."""
    for column in key:
        missing = rows.filter(pc.is_null(rows[column]))
        findings.add("keys", [f"{name}: {column} is null"] * len(missing))
    counted = rows.select(list(key)).group_by(list(key)).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1))
    findings.add("keys", [f"{name}: {row}" for row in row_names(twice, key)])


def check_orphans(songs: pa.Table, catalog: pa.Table, findings: Findings) -> None:
    """``orphans``: each song of the tokens (``song_id, separator, codecs``) is in the catalog (``song_id``)."""
    found = pc.is_in(songs["song_id"], catalog["song_id"].combine_chunks())
    lost = songs.filter(pc.invert(found))
    findings.add("orphans", row_names(lost, ("song_id", "separator", "codecs")).tolist())


def check_removed(removed: pa.Table, tables: Mapping[str, pa.Table], findings: Findings) -> None:
    """``removed``: no song in ``removed`` is in any of the tables; each has ``song_id``."""
    gone = removed["song_id"].combine_chunks()
    for name, rows in tables.items():
        back = rows.filter(pc.is_in(rows["song_id"], gone))
        findings.add("removed", [f"{name}: {song}" for song in back["song_id"].to_pylist()])


def check_dropped(songs: pa.Table, dropped: pa.Table, findings: Findings) -> None:
    """``dropped``: no song of it (``song_id, separator``) trains or validates (``song_id, separator, split``)."""
    used = songs.filter(pc.is_in(songs["split"], pa.array([TRAIN, VALID])))
    both = used.join(dropped.select(["song_id", "separator"]), ["song_id", "separator"], join_type="left semi")
    findings.add("dropped", sorted(row_names(both, ("song_id", "separator", "split"))))


def check_signatures(catalog: pa.Table, findings: Findings) -> None:
    """``signatures``: of the catalog (``song_id, signature``), of their length or empty."""
    wrong = np.array([not _well_formed(signature) for signature in catalog["signature"].to_pylist()], dtype=bool)
    findings.add_where("signatures", wrong, row_names(catalog, ("song_id",)))


def check_near_duplicates(songs: pa.Table, catalog: pa.Table, findings: Findings) -> None:
    """``near_duplicates``: songs whose signatures (catalog: ``song_id, signature``) are near share a split."""
    signatures = dict(zip(catalog["song_id"].to_pylist(), catalog["signature"].to_pylist(), strict=True))
    group_of = near_groups({song: signature for song, signature in signatures.items() if _well_formed(signature)})
    splits: dict[str, dict[str, set[str]]] = {}
    for song, split in zip(songs["song_id"].to_pylist(), songs["split"].to_pylist(), strict=True):
        if split != SUNG and song in group_of:
            splits.setdefault(group_of[song], {}).setdefault(split, set()).add(song)
    apart = (sides for sides in splits.values() if len(sides) > 1)
    findings.add("near_duplicates", sorted("; ".join(map(_side, sorted(sides.items()))) for sides in apart))


def check_reasons(quarantine: pa.Table, findings: Findings) -> None:
    """``reasons``: of the quarantine (``uri, reason``); ``failed:<type>`` names an exception."""
    known = np.array(
        [reason in REASONS or (reason or "").startswith(FAILED) for reason in quarantine["reason"].to_pylist()],
        dtype=bool,
    )
    findings.add_where("reasons", ~known, row_names(quarantine, ("reason", "uri")))


def _well_formed(signature: bytes | None) -> bool:
    return signature is not None and len(signature) in (len(EMPTY), 4 * SLOTS)


def _side(side: tuple[str, set[str]]) -> str:
    split, songs = side
    return f"{split}: {', '.join(sorted(songs))}"
