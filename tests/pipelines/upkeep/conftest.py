"""A table to look after."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tables import sound_table

from pipelines.table.token_table import TokenTable


@pytest.fixture
def table(tmp_path: Path) -> TokenTable:
    return sound_table(tmp_path)
