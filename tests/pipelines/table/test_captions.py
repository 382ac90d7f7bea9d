"""Words that are written, changed or taken back after a song was tokenized."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.catalogued import catalog_row, compute_nothing, drop, put_files, put_table
from helpers.tables import keyed

from models.errors import StemsError
from pipelines.catalog.formats.catalog import write_catalog_file
from pipelines.catalog.load import import_catalog
from pipelines.catalog.schema import CatalogEntry, entry_from_json
from pipelines.table.captions import SongWords, words_from_elsewhere
from pipelines.table.schema import QuarantineRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PlanConfig, PrepareConfig
from pipelines.tokens.estimate import estimate
from pipelines.tokens.prepare import prepare
from pipelines.tokens.resolve import resolve_prepare
from pipelines.tokens.run.report import PrepareReport

OTHER_CODECS = "bass=1,drums=2,other=3"


@pytest.fixture
def config(tiny_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrepareConfig:
    """Of a folder of three songs; nothing may be computed."""
    put_files(tmp_path / "songs", a="one", b="two", c="three")
    compute_nothing(monkeypatch)
    return PrepareConfig(
        catalog=str(tmp_path / "songs"),
        table=str(tmp_path / "table"),
        separator=tiny_models.separator,
        codecs=tiny_models.codecs,
        vocal_threshold=1.0,
    )


def songs(config: PrepareConfig) -> Path:
    return Path(config.catalog)


def say(folder: Path, name: str, **words: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(words), encoding="utf-8")


def rows(table: TokenTable) -> dict[str, dict[str, Any]]:
    """Rows by their file's name; of several, which have to say the same, one."""
    found: dict[str, dict[str, Any]] = {}
    for row in table.rows().to_pylist():
        name = Path(row["uri"]).stem
        said = {column: row[column] for column in ("title", "caption", "tags")}
        assert said == {column: found.setdefault(name, row)[column] for column in said}
    return found


def again(config: PrepareConfig, updated: int) -> PrepareReport:
    """Run once more: the plan knows how many rows' words change, and a second run changes nothing."""
    sampled = PlanConfig(**config.model_dump())
    assert estimate(sampled).words_to_update == updated
    report = prepare(config)
    assert report.words_updated == updated
    assert report.counts().get("words updated", 0) == updated
    versions = TokenTable(config.table).versions()
    assert estimate(sampled).words_to_update == 0
    assert prepare(config).words_updated == 0
    assert TokenTable(config.table).versions() == versions
    return report


def sidecars(config: PrepareConfig) -> PrepareConfig:
    (songs(config) / "a.txt").write_text("a slow song", encoding="utf-8")
    say(songs(config), "b", caption="a fast song", title="B", tags=["live", "rock"])
    return config


def manifest_in_the_folder(config: PrepareConfig) -> PrepareConfig:
    lines: list[dict[str, Any]] = [{"file_name": "a.wav", "caption": "a slow song"}]
    lines += [{"file_name": "b.wav", "caption": "a fast song", "title": "B", "tags": ["live", "rock"]}]
    (songs(config) / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return config


def catalog_file(config: PrepareConfig) -> PrepareConfig:
    entries = {entry.title: entry for entry in import_catalog(config.catalog)}
    entries["a"] = replace(entries["a"], caption="a slow song")
    entries["b"] = replace(entries["b"], caption="a fast song", title="B", tags=("live", "rock"))
    file = str(songs(config).parent / "catalog.parquet")
    write_catalog_file(file, list(entries.values()))
    return config.model_copy(update={"catalog": file})


@pytest.mark.parametrize("way", [sidecars, manifest_in_the_folder, catalog_file])
def test_captions_that_are_written_after_tokenizing_reach_all_rows_of_their_songs(
    config: PrepareConfig, way: Any
) -> None:
    table = put_table(config, again=OTHER_CODECS)
    before = table.rows().sort_by([("song_id", "ascending"), ("codecs", "ascending")])
    again(way(config), updated=2)
    found = rows(table)
    assert found["a"]["caption"] == "a slow song"
    assert (found["b"]["title"], found["b"]["caption"], found["b"]["tags"]) == ("B", "a fast song", ["live", "rock"])
    after = table.rows().sort_by([("song_id", "ascending"), ("codecs", "ascending")])
    untouched = [name for name in before.column_names if name not in ("title", "caption", "tags")]
    assert after.select(untouched) == before.select(untouched)
    said = {entry.caption for entry in map(entry_from_json, table.catalog()["entry"].to_pylist())}
    assert said == {"", "a slow song", "a fast song"}


def test_a_caption_that_was_emptied_empties_the_row(config: PrepareConfig) -> None:
    say(songs(config), "a", caption="wrong", tags=["wrong"], title="Wrong")
    table = put_table(config)
    (songs(config) / "a.json").unlink()
    again(config, updated=1)
    found = rows(table)["a"]
    assert (found["title"], found["caption"], found["tags"]) == ("a", "", [])


def test_of_two_files_with_the_same_audio_the_first_in_the_catalog_speaks(config: PrepareConfig) -> None:
    table = put_table(config)
    put_files(songs(config), **{"0 copy": "one", "z": "three"})
    say(songs(config), "0 copy", caption="of the copy")
    say(songs(config), "a", caption="of the file that has the tokens")
    say(songs(config), "z", caption="of a later copy")
    table.commit_catalog([catalog_row(entry) for entry in import_catalog(config.catalog)])
    again(config, updated=1)
    found = rows(table)
    assert (found["a"]["caption"], found["c"]["caption"]) == ("of the copy", "")
    assert set(table.quarantine()["reason"].to_pylist()) == {"duplicate"}


def test_a_tag_that_marks_vocals_moves_a_song_to_sung_and_its_removal_moves_it_back(config: PrepareConfig) -> None:
    table = put_table(config, again=OTHER_CODECS)
    say(songs(config), "a", tags=["Vocals"])
    again(config, updated=1)
    assert {(row["title"], row["split"]) for row in table.rows().to_pylist()} == {
        ("a", "sung"),
        ("b", "train"),
        ("c", "train"),
    }
    assert len(table.dropped()) == 0
    say(songs(config), "a", tags=["calm"])
    again(config, updated=1)
    assert "sung" not in table.rows()["split"].to_pylist()


def test_songs_that_were_dropped_get_their_words_too(config: PrepareConfig) -> None:
    table = put_table(config)
    drop(table, import_catalog(config.catalog)[0], config)
    say(songs(config), "a", title="A", tags=["choir", "live"])
    again(config, updated=1)
    [row] = table.dropped().to_pylist()
    assert (row["title"], row["tags"], row["decided_by"]) == ("A", ["choir", "live"], "tag:choir")


def test_a_copy_in_another_collection_of_which_nothing_is_said_erases_no_words(config: PrepareConfig) -> None:
    say(songs(config), "a", caption="a slow song", tags=["calm"], title="A")
    table = put_table(config)
    put_files(songs(config).parent / "others", again="one")
    other = config.model_copy(update={"catalog": str(songs(config).parent / "others")})
    table.commit_catalog([catalog_row(entry) for entry in import_catalog(other.catalog)])
    again(other, updated=0)
    assert rows(table)["a"]["caption"] == "a slow song"
    # What is said there does arrive, and leaves again where it is taken back.
    say(Path(other.catalog), "again", caption="of the copy")
    again(other, updated=1)
    assert (rows(table)["a"]["caption"], rows(table)["a"]["tags"]) == ("of the copy", ["calm"])
    say(Path(other.catalog), "again", caption="")
    again(other, updated=1)
    assert rows(table)["a"]["caption"] == ""


def test_words_of_a_song_that_these_models_failed_on_arrive_as_well(config: PrepareConfig) -> None:
    table, identity = put_table(config), resolve_prepare(config).identity
    entry = import_catalog(config.catalog)[0]
    keyed(table, "tokens").rewrite(["codecs"], lambda row: (OTHER_CODECS,))
    failed = QuarantineRow(
        entry.uri, entry.fingerprint, "crashed", "m", "", identity.separator, identity.codecs, identity.limits
    )
    table.commit_quarantine([failed])
    say(songs(config), "a", caption="later")
    for name in "bc":
        (songs(config) / f"{name}.wav").unlink()
    with pytest.raises(StemsError, match="1 of 1 files"):
        prepare(config)
    assert rows(table)["a"]["caption"] == "later"


@pytest.mark.parametrize(
    ("uri", "title", "before", "row"),
    [
        ("/music/song 1.wav", "song 1", None, "Old"),  # the file's name, which nobody gave it
        ("/music/song 1/mix.wav", "song 1", None, "Old"),  # a multitrack's folder
        ("/music/song 1/", "song 1", None, "Old"),
        ("s3://b/a.b.flac", "a.b", "a.b", "Old"),
        ("/music/song 1.wav", "Given", None, "Given"),
        ("/music/song 1.wav", "song 1", "Given", "song 1"),  # taken back
    ],
)
def test_a_copy_elsewhere_renames_a_song_only_by_a_title_that_it_was_given(
    uri: str, title: str, before: str | None, row: str
) -> None:
    earlier = None if before is None else SongWords(before, "", ())
    found = words_from_elsewhere(CatalogEntry(uri, "f", title), earlier, SongWords("Old", "c", ("t",)))
    assert found == SongWords(row, "c", ("t",))
