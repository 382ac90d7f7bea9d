"""Small catalogs for the catalog job, and what it writes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.audio.files import Audio
from pipelines.table.token_table import TokenTable


def tone(seed: int, seconds: float = 1.2) -> Audio:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 44100)) / 44100
    tone = 0.1 * seed * np.sin(2 * np.pi * (90 + 60 * seed) * time)
    return Audio((tone + 0.05 * rng.standard_normal((2, len(time)))).astype(np.float32), 44100)


def settings(models: Any, root: Path, **changes: Any) -> dict[str, Any]:
    return {
        "catalog": str(root / "songs"),
        "table": str(root / "table"),
        "separator": models.separator,
        "codecs": models.codecs,
        "vocal_threshold": 1.0,
        "min_seconds": 1.0,
        **changes,
    }


def rows(root: Path, **kept: Any) -> list[dict[str, Any]]:
    found = TokenTable(str(root / "table")).rows().sort_by([("title", "ascending"), ("codecs", "ascending")])
    return [row for row in found.to_pylist() if all(row[name] == value for name, value in kept.items())]
