"""What the contract says of kept stems: the files are there, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from models.errors import StemsError
from pipelines.catalog.files import in_parallel
from pipelines.tokens.stems_folder import stem_uri
from pipelines.upkeep.findings import Findings
from pipelines.upkeep.stem_store import normal, roots, song_folders, stem_info

_ROWS_AT_A_TIME = 1024
_FRAME_S = 0.02
_FORMAT = "FLAC"


def check_stems(rows: pa.Table, findings: Findings) -> None:
    """``stems``: each file of each row is readable FLAC, of its rate, within a frame (20 ms) of its length.

    Args:
        rows: ``folder, stems, rate, seconds``.
        findings: take the offenders.
    """
    owners = Counter(normal(folder) for folder in rows["folder"].to_pylist())
    findings.add("stems", [f"{folder}: {count} rows name it" for folder, count in owners.items() if count > 1])
    for batch in rows.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        for problems in in_parallel(_problems, batch.to_pylist()):
            findings.add("stems", problems)


def check_strays(rows: pa.Table, findings: Findings) -> None:
    """``stray_stems``: beside the folders that rows name (``folder``) there are no others."""
    named = {normal(folder) for folder in rows["folder"].to_pylist()}
    for root in roots(named):
        findings.add("stray_stems", [folder for folder in song_folders(root) if folder not in named])


def _problems(row: dict[str, Any]) -> list[str]:
    return [problem for name in row["stems"] for problem in _stem_problems(row, stem_uri(row["folder"], name))]


def _stem_problems(row: dict[str, Any], uri: str) -> Iterator[str]:
    try:
        found = stem_info(uri)
    except (StemsError, OSError) as error:
        yield f"{uri}: {error}"
        return
    if found.format != _FORMAT:
        yield f"{uri}: {found.format}, not {_FORMAT}"
    if found.rate != row["rate"]:
        yield f"{uri}: {found.rate} Hz, not {row['rate']}"
    if abs(found.seconds - row["seconds"]) > _FRAME_S:
        yield f"{uri}: {found.seconds:.2f} s, not {row['seconds']:.2f}"
