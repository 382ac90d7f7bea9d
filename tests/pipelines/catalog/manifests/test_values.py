"""Values of manifests and sidecars as programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.trees import put

from pipelines.catalog.command import write_catalog
from pipelines.catalog.config import CatalogConfig
from pipelines.catalog.load import import_catalog


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        ("['calm', \"drummer's choice\"]", ("calm", "drummer's choice")),
        ('["calm","a, b"]', ("calm", "a, b")),
        ("[live], calm [1998]", ("[live]", "calm [1998]")),
        ("[calm, piano]", ("[calm", "piano]")),
        ("[" * 5000 + "]" * 5000, ("[" * 5000 + "]" * 5000,)),
    ],
)
def test_a_list_of_tags_that_became_text_in_a_table_is_a_list(
    said: str, tags: tuple[str, ...], tmp_path: Path
) -> None:
    put(tmp_path / "a.wav")
    quoted = said.replace('"', '""')
    (tmp_path / "metadata.csv").write_text(f'file_name,tags\na.wav,"{quoted}"\n')
    [entry] = import_catalog(str(tmp_path))
    assert entry.tags == tags


@pytest.mark.parametrize("name", ["metadata.jsonl", "a.json"])
def test_a_number_of_thousands_of_digits_is_a_bad_line(name: str, tmp_path: Path) -> None:
    put(tmp_path / "a.wav")
    put(tmp_path / name, '{"file_name": "a.wav", "duration": ' + "9" * 5000 + "}")
    report = write_catalog(CatalogConfig(source=str(tmp_path), dry_run=True))
    assert any("a number of thousands of digits" in str(problem) for problem in report.problems)
