"""A prepared table, to run again on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.prepared import settings, tone

from models.audio.files import write_audio
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.prepare import prepare


@pytest.fixture(scope="session")
def prepared(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory, ray_local: object) -> Path:
    """Three songs with their stems, one of them in valid, and a broken file."""
    root = tmp_path_factory.mktemp("prepared")
    for k in (1, 2, 3):
        write_audio(root / "songs" / f"song {k}.flac", tone(k))
    (root / "songs" / "broken.wav").write_bytes(b"RIFF")
    report = prepare(PrepareConfig(**settings(tiny_models, root, keep_stems=str(root / "stems"))))
    assert (report.tokenized, report.quarantined) == (3, {"unreadable": 1})
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it at another place, with stems of its own."""
    copy = Path(shutil.copytree(prepared, tmp_path / "copy", copy_function=shutil.copy2))
    table = TokenTable(str(copy / "table"))
    kept = table.stems().to_pylist()
    table.revise_stems(
        {(row["song_id"], row["separator"]): str(copy / "stems" / Path(row["folder"]).name) for row in kept}
    )
    return copy
