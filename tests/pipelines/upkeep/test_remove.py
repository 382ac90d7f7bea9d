"""`stems table remove`: songs go wholly, from wherever a kill stopped, and stay away."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.rows import catalog_row
from helpers.tables import keep_stems, song, sound_table

from models.errors import StemsError
from pipelines.catalog.schema import CatalogEntry, GivenStem, entry_to_json
from pipelines.table.keyed_table import KeyedTable
from pipelines.table.schema import TABLES, CatalogRow, DroppedRow
from pipelines.table.token_table import TokenTable
from pipelines.upkeep import remove as remove_module
from pipelines.upkeep.config import RemoveConfig, VerifyConfig
from pipelines.upkeep.remove import RemoveReport, remove
from pipelines.upkeep.verify import verify

ID = song(0).song_id


def take_down(table: TokenTable, *songs: str, **settings: Any) -> RemoveReport:
    return remove(RemoveConfig(table=table.root, songs=list(songs), **settings))


def contents(table: TokenTable) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, and the folders of stems."""
    rows = {name: sorted(table.read(name).to_pylist(), key=repr) for name in TABLES}
    folders = sorted(path.name for path in (Path(table.root).parent / "stems").iterdir())
    return rows | {"folders": [{"name": name} for name in folders]}


def holding(table: TokenTable, song_id: str) -> list[str]:
    return [name for name in TABLES if song_id in table.read(name, ["song_id"])["song_id"].to_pylist()]


def test_a_song_goes_from_everywhere_and_is_remembered(table: TokenTable) -> None:
    folder = Path(next(row["folder"] for row in table.stems().to_pylist() if row["song_id"] == ID))
    assert folder.exists()
    done = take_down(table, ID, reason="asked for")
    assert holding(table, ID) == ["removed"]
    assert not folder.exists()
    assert table.removed().to_pylist() == [
        {
            "song_id": ID,
            "uris": ["/music/0.wav", "/music/twin.wav"],
            "fingerprints": ["0", "twin"],
            "title": "Song 0",
            "reason": "asked for",
        }
    ]
    counts = {
        "taken down": 1,
        "tokens": 1,
        "stem folders": 1,
        "stems": 1,
        "catalog": 2,
        "dropped": 0,
        "quarantine": 1,
    }
    assert done.counts == counts
    assert verify(VerifyConfig(table=table.root)).exit_code == 0
    assert len(table.rows()) == 5
    assert len(table.catalog()) == 6
    assert len(table.quarantine()) == 1


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (song(3).song_id, 3),
        (song(3).song_id[:6], 3),
        ("/music/3.wav", 3),
        ("/music/../music/3.wav", 3),
        ("3.wav", 3),
        ("Song 3", 3),
        ("/music/twin.wav", 0),
        ("twin", 0),
        ("Choir", 7),
    ],
)
def test_a_song_goes_by_any_of_its_names(table: TokenTable, name: str, number: int) -> None:
    assert [found for found, _, _ in take_down(table, name).songs] == [song(number).song_id]
    assert holding(table, song(number).song_id) == ["removed"]


NFC, NFD = unicodedata.normalize("NFC", "Café"), unicodedata.normalize("NFD", "Café")


@pytest.mark.parametrize(
    "name",
    [
        *(f"{stem}{end}" for stem in (NFC, NFD) for end in ("", ".wav")),
        *(f"/music/{stem}.wav" for stem in (NFC, NFD)),
        "CAFÉ.WAV",
        " café",
    ],
)
@pytest.mark.parametrize("spelled", [NFC, NFD])
def test_a_name_counts_in_either_form_of_unicode_and_in_any_case(table: TokenTable, name: str, spelled: str) -> None:
    late = song(9, uri=f"/music/{spelled}.wav", title=f"{spelled}")
    table.commit_catalog([catalog_row(late)])
    table.commit_tokens([late])
    assert [found for found, _, _ in take_down(table, name).songs] == [late.song_id]


@pytest.mark.parametrize(
    ("uri", "name"), [("file:///music/caf%E9.wav", "caf\udce9.wav"), ("https://host/My%20Song.wav", "My Song.wav")]
)
def test_names_are_those_of_files_not_of_addresses(table: TokenTable, uri: str, name: str) -> None:
    late = song(9, uri=uri, title="x")
    table.commit_catalog([catalog_row(late)])
    assert [found for found, _, _ in take_down(table, name).songs] == [late.song_id]


def test_the_song_that_is_spelled_so_goes_before_others(table: TokenTable) -> None:
    for number, title in ((8, "Late"), (9, "LATE")):
        table.commit_tokens([song(number, title=title)])
    assert [found for found, _, _ in take_down(table, "LATE").songs] == [song(9).song_id]
    with pytest.raises(StemsError, match="may be any of 2 songs"):
        take_down(table, "late")


def test_several_names_of_one_song_are_one_song(table: TokenTable) -> None:
    assert len(take_down(table, "Song 0", "twin.wav", ID, "Song 3").songs) == 2


def test_nothing_changes_unless_each_name_is_one_song(table: TokenTable) -> None:
    table.commit_tokens([song(8, title="Song 3")])
    before = table.versions()
    with pytest.raises(StemsError, match="'Song 3' may be any of 2 songs") as ambiguous:
        take_down(table, ID, "Song 3")
    assert song(3).song_id in str(ambiguous.value)
    assert song(8).song_id in str(ambiguous.value)
    assert ambiguous.value.code == "ambiguous"
    with pytest.raises(StemsError, match="no song 'Song 99'"):
        take_down(table, ID, "Song 99")
    with pytest.raises(StemsError, match="no song '33333'"):  # too few digits
        take_down(table, song(3).song_id[:5])
    assert table.versions() == before


def test_a_dry_run_says_what_would_go_and_changes_nothing(table: TokenTable) -> None:
    before = contents(table)
    told = take_down(table, ID, dry_run=True)
    assert told.counts == {"tokens": 1, "stems": 1, "catalog": 2, "dropped": 0, "quarantine": 1}
    assert contents(table) == before


def test_again_is_nothing_and_keeps_the_first_reason(table: TokenTable) -> None:
    take_down(table, "Song 0", reason="first")
    before = table.versions()
    done = take_down(table, "Song 0", reason="second")
    assert not any(done.counts.values())
    assert table.versions() == before
    assert table.removed()["reason"].to_pylist() == ["first"]


def test_a_song_that_slipped_in_again_goes_again_with_its_new_file(table: TokenTable) -> None:
    take_down(table, ID)
    late = song(0, uri="/music/late.wav", fingerprint="late")
    table.commit_catalog([catalog_row(late)])
    table.commit_tokens([late])
    take_down(table, ID)
    assert holding(table, ID) == ["removed"]
    (row,) = table.removed().to_pylist()
    assert row["fingerprints"] == ["0", "late", "twin"]
    assert "/music/late.wav" in row["uris"]


def test_a_file_that_nobody_decoded_is_remembered_by_its_fingerprint(table: TokenTable) -> None:
    table.commit_dropped([DroppedRow("tagged", "", "/music/aria.wav", "Aria", ("sung",), 0.0, "", None, "tag:sung")])
    take_down(table, "Aria", "/music/broken.wav")
    found = {row["song_id"]: row["fingerprints"] for row in table.removed().to_pylist()}
    assert found == {"file:tagged": ["tagged"], "file:broken": ["broken"]}
    assert len(table.dropped()) == 1
    assert table.quarantine()["fingerprint"].to_pylist() == ["twin"]


def test_the_files_of_given_stems_are_remembered(table: TokenTable) -> None:
    row = catalog_row(song(8))
    entry = CatalogEntry(
        "/multi/8", "8", "Song 8", stems=(GivenStem("bass", ("/multi/8/b1.wav", "/multi/8/b2.wav")),)
    )
    table.commit_catalog([CatalogRow(**{**vars(row), "entry": entry_to_json(entry)})])
    take_down(table, "/multi/8/b2.wav")
    assert table.removed()["uris"].to_pylist() == [["/multi/8", "/multi/8/b1.wav", "/multi/8/b2.wav"]]


def test_stems_without_any_file_or_tokens_go_too(table: TokenTable, tmp_path: Path) -> None:
    table.commit_stems([keep_stems(tmp_path / "stems", song(9))])
    take_down(table, song(9).song_id)
    assert holding(table, song(9).song_id) == ["removed"]


class Killed(BaseException):
    """Ends a command as a signal would."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: int, after: bool = False) -> Iterator[list[str]]:
    """Die before or after the given one (from 1) of all calls that change something; the list names those made."""
    calls: list[str] = []

    def wrapped(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            calls.append(change.__name__)
            if len(calls) == step and not after:
                raise Killed
            result = change(*args, **options)
            if len(calls) == step:
                raise Killed
            return result

        return call

    with monkeypatch.context() as patch:
        for method in ("insert", "replace", "delete"):
            patch.setattr(KeyedTable, method, wrapped(getattr(KeyedTable, method)))
        patch.setattr(remove_module, "remove_tree", wrapped(remove_module.remove_tree))
        yield calls


def test_a_kill_at_any_step_is_repaired_by_running_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = sound_table(tmp_path / "undisturbed")
    with killed_at(monkeypatch, step=0) as steps:
        take_down(undisturbed, "twin.wav", reason="asked for")
    theirs = without_places(undisturbed)
    assert len(steps) > 3
    for step, after in product(range(1, len(steps) + 1), (False, True)):
        table = sound_table(tmp_path / f"{step} {after}")
        with killed_at(monkeypatch, step, after), pytest.raises(Killed):
            take_down(table, "twin.wav", reason="asked for")
        if step > 1 or after:  # from its first commit on, no run would take the song
            assert table.removed()["song_id"].to_pylist() == [ID]
        take_down(table, "twin.wav", reason="asked for")
        assert without_places(table) == theirs, (steps[step - 1], step, after)
        assert verify(VerifyConfig(table=table.root)).exit_code == 0


def without_places(table: TokenTable) -> dict[str, list[dict[str, Any]]]:
    """All that a table holds, with folders by their names."""
    found = contents(table)
    for row in found["stems"]:
        row["folder"] = Path(row["folder"]).name
    return found


def data_files(table: TokenTable) -> list[Path]:
    return [path for path in Path(table.root).rglob("*.parquet") if "_delta_log" not in path.parts]


def with_song(table: TokenTable) -> list[Path]:
    """Data files, of whatever version, in whose rows the song is."""
    return [path for path in data_files(table) if ID in pq.read_table(path)["song_id"].to_pylist()]


def with_bytes(table: TokenTable) -> list[Path]:
    """Data files in whose bytes its id is: here in the footer, as the least of its column."""
    return [path for path in data_files(table) if ID.encode() in path.read_bytes()]


def test_a_purge_leaves_no_data_file_that_holds_the_song(table: TokenTable) -> None:
    pinned = table.version
    take_down(table, ID)
    names = {path.parent.name for path in with_song(table)}
    assert names == {"tokens", "catalog", "stems", "quarantine", "removed"}  # earlier versions hold it still
    assert {"tokens", "catalog"} <= {path.parent.name for path in with_bytes(table)}
    assert len(table.rows(version=pinned)) == 6
    assert take_down(table, ID, purge=True).purged
    assert {path.parent.name for path in with_song(table)} == {"removed"}
    assert {path.parent.name for path in with_bytes(table)} == {"removed"}
    with pytest.raises(StemsError, match="Vacuuming"):
        table.rows(version=pinned)
    assert len(table.rows()) == 5
    assert verify(VerifyConfig(table=table.root)).exit_code == 0
