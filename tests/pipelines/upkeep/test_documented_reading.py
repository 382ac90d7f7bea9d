"""What docs/TABLE.md tells a reader to type, typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.documented import python_block

from pipelines.table.token_table import TokenTable

TIMES = 12
"""Of processes that read as `to_pyarrow_table` does, one in eight or so aborts at its end."""


@pytest.mark.slow
def test_the_documented_way_to_read_a_table_ends_well_each_time(table: TokenTable) -> None:
    folder = Path(table.root).rename(Path(table.root).with_name("tokens"))
    code = f"{python_block('TABLE.md')}\nassert len(table) == len(frame) == {len(TokenTable(str(folder)).rows())}"
    for _ in range(TIMES):
        done = subprocess.run([sys.executable, "-c", code], cwd=folder.parent, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
