"""Rules of the contract about kept stems: their files are there, and no others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from pipelines.catalog.storage.files import Unreachable, in_parallel
from pipelines.tokens.songs.kept_stems_check import stem_problems
from pipelines.upkeep.rules.verify_rules import Findings
from pipelines.upkeep.stem_store import normal, roots, song_folders

_ROWS_AT_A_TIME = 1024


def check_stems(rows: pa.Table, findings: Findings) -> None:
    """``stems``: each file of each row is whole FLAC, of its rate, within a frame (20 ms) of its length.

    Args:
        rows: ``folder, stems, rate, seconds``.
        findings: takes the offenders.
    """
    owners = Counter(normal(folder) for folder in rows["folder"].to_pylist())
    findings.add("stems", [f"{folder}: {count} rows name it" for folder, count in owners.items() if count > 1])
    for batch in rows.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        for problems in in_parallel(_problems, batch.to_pylist()):
            findings.add("stems", problems)


def check_strays(rows: pa.Table, findings: Findings) -> None:
    """``stray_stems``: there are no folders of stems but those that rows name (``folder``)."""
    named = {normal(folder) for folder in rows["folder"].to_pylist()}
    for root in roots(named):
        findings.add("stray_stems", [folder for folder in song_folders(root) if folder not in named])


def _problems(row: dict[str, Any]) -> list[str]:
    try:
        return list(stem_problems(row["folder"], row["stems"], row["rate"], row["seconds"]))
    except Unreachable as error:
        return [f"{row['folder']}: {error}"]
