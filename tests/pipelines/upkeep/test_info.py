"""`stems table info`: what a table holds, counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.tables import CODECS, shown, song

from models.errors import StemsError
from pipelines.table.schema import SCHEMA_VERSION, TABLES, RemovedRow
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.config import InfoConfig
from pipelines.upkeep.info import InfoReport, SongTotals, info

LAYOUT = "bass:1,drums:1,other:2"


def told(table: TokenTable) -> InfoReport:
    return info(InfoConfig(table=table.root))


def test_everything_is_counted(table: TokenTable) -> None:
    table.commit_tokens([song(8, "sung", codecs="bass=b2,drums=d1,other=o1")])
    table.commit_removed([RemovedRow("gone", (), (), "", "")])
    report = told(table)
    assert report.schema_version == SCHEMA_VERSION
    assert report.versions == table.versions()
    assert report.splits == {
        "sung": SongTotals(1, 1 / 3600, 50),
        "train": SongTotals(5, 5 / 3600, 250),
        "valid": SongTotals(1, 1 / 3600, 50),
    }
    assert report.sets == {
        (LAYOUT, "s", CODECS): SongTotals(6, 6 / 3600, 300),
        (LAYOUT, "s", "bass=b2,drums=d1,other=o1"): SongTotals(1, 1 / 3600, 50),
    }
    assert report.dropped == {"score": 1}
    assert report.quarantine == {"duplicate": 1, "unreadable": 1}
    assert (report.stems, report.removed) == (2, 1)


def test_sizes_are_those_of_the_files(table: TokenTable) -> None:
    report = told(table)
    for name in TABLES:
        sizes = [path.stat().st_size for path in Path(table.root, name).glob("*.parquet")]
        assert (report.stored[name].files, report.stored[name].bytes) == (len(sizes), sum(sizes))
    assert report.bits == pytest.approx(8 * report.stored["tokens"].bytes / (6 * 4 * 50))


def test_entropy_is_that_of_the_codes_weighed_by_their_number(tmp_path: Path) -> None:
    table = TokenTable(str(tmp_path / "table"))
    table.create()
    rng = np.random.default_rng(0)
    uniform = [rng.integers(0, 16, (4, 4000)).astype(np.int16) for _ in range(3)]
    table.commit_tokens([song(number, codes=codes) for number, codes in enumerate(uniform)])
    assert told(table).entropy_bits == pytest.approx(4, abs=0.01)
    # Four bits a code are what its files come near to.
    assert 4 <= told(table).bits < 8
    table.commit_tokens([song(8, codes=np.zeros((4, 12_000), np.int16), codecs="bass=x,drums=y,other=z")])
    assert told(table).entropy_bits == pytest.approx(2, abs=0.01)


def test_an_empty_table_has_no_bits_and_no_table_is_an_error(tmp_path: Path) -> None:
    table = TokenTable(str(tmp_path / "table"))
    with pytest.raises(StemsError, match="no token table"):
        told(table)
    table.create()
    assert (told(table).bits, told(table).entropy_bits, told(table).splits) == (0, 0, {})


def test_the_summary_shows_the_ids_to_choose_by(table: TokenTable) -> None:
    text = shown(told(table))
    for words in (CODECS, LAYOUT, "quarantined: duplicate", "dropped by score", "unigram entropy", "5 songs"):
        assert words in text
