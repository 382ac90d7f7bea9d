"""A small token table to train on."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.rows import song_row
from helpers.tiny import LAYOUT, tiny_codec

from models.files.digest import directory_digest
from pipelines.table.token_table import TokenTable


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with codecs/ and the table tokens/: eight songs, two of them for validation."""
    root = tmp_path_factory.mktemp("lm")
    for index, stem in enumerate(LAYOUT.stems):
        tiny_codec(stem.codebooks, seed=index).save(root / "codecs" / stem.name)
    ids = ",".join(f"{name}={directory_digest(root / 'codecs' / name)}" for name in LAYOUT.names)
    table = TokenTable(str(root / "tokens"))
    table.create()
    table.commit_tokens([song_row(n, ids, "valid" if n % 4 == 0 else "train") for n in range(8)])
    return root
