"""`stems table verify`: a sound table passes, and each way to break it is named, alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from helpers.rows import catalog_row
from helpers.tables import keyed, rewrite_stem, shown, silence, song

from models.audio.files import Audio, encode_audio, write_audio
from models.audio.signature import SLOTS
from pipelines.table.schema import (
    QUARANTINE,
    DroppedRow,
    QuarantineRow,
    RemovedRow,
    StemsRow,
    TokenRow,
    codes_to_arrow,
    plain_table,
    tokens_table,
)
from pipelines.table.splits import near_groups
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.config import VerifyConfig
from pipelines.upkeep.rules.code_rules import measure
from pipelines.upkeep.rules.verify_rules import RULES, VerifyReport
from pipelines.upkeep.verify import verify


def report(table: TokenTable, examples: int = 5) -> VerifyReport:
    return verify(VerifyConfig(table=table.root, examples=examples))


def offenders(table: TokenTable) -> dict[str, int]:
    return {rule: result.offenders for rule, result in report(table).results.items() if result.offenders}


def test_a_sound_table_keeps_its_contract(table: TokenTable) -> None:
    found = report(table)
    assert found.rows == {"tokens": 6, "removed": 0, "catalog": 8, "dropped": 1, "quarantine": 2, "stems": 2}
    assert list(found.results) == [rule for rule in RULES if rule != "sources"]
    assert not any(result.offenders for result in found.results.values())
    assert found.exit_code == 0


def test_an_empty_table_keeps_it_too(tmp_path: Path) -> None:
    empty = TokenTable(str(tmp_path / "empty"))
    empty.create()
    assert offenders(empty) == {}


def add(table: TokenTable, row: TokenRow) -> None:
    """A song with its catalog row."""
    table.commit_catalog([catalog_row(row)])
    table.commit_tokens([row])


def append(table: TokenTable, name: str, rows: pa.Table) -> None:
    """Rows as no writer of this house would write them."""
    write_deltalake(f"{table.root}/{name}", rows, mode="append")


def with_column(row: TokenRow, column: str, values: pa.Array) -> pa.Table:
    rows = tokens_table([row])
    return rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), values)


def with_codes(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[TokenTable], None]:
    return lambda table: add(table, song(8, codes=change(song(8).codes)))


def put(codes: np.ndarray, code: int) -> np.ndarray:
    changed = codes.copy()
    changed[-1, -1] = code
    return changed


def with_stream(change: Callable[[list[int]], object]) -> Callable[[TokenTable], None]:
    def breaking(table: TokenTable) -> None:
        row = song(8)
        table.commit_catalog([catalog_row(row)])
        streams = row.codes.tolist()
        change(streams[2])
        append(table, "tokens", with_column(row, "codes", pa.array([streams], codes_to_arrow([]).type)))

    return breaking


def lying_frames(table: TokenTable) -> None:
    table.commit_catalog([catalog_row(song(8))])
    append(table, "tokens", with_column(song(8), "frames", pa.array([51], pa.int32())))


def null_codes(table: TokenTable) -> None:
    table.commit_catalog([catalog_row(song(8))])
    append(table, "tokens", with_column(song(8), "codes", pa.array([None], codes_to_arrow([]).type)))


def null_split(table: TokenTable) -> None:
    table.commit_catalog([catalog_row(song(8))])
    append(table, "tokens", with_column(song(8), "split", pa.array([None], pa.string())))


def broken_file(table: TokenTable) -> None:
    (file,) = Path(f"{table.root}/quarantine").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-40])


def short_file(table: TokenTable) -> None:
    file = next(Path(f"{table.root}/tokens").glob("*.parquet"))
    pq.write_table(pq.read_table(file).slice(1), file)


def null_key(table: TokenTable) -> None:
    row = QuarantineRow("/music/x.wav", "x", "empty", "", "", "", "", "5-1200 s")
    rows = plain_table([row], QUARANTINE)
    place = rows.schema.get_field_index("limits")
    append(table, "quarantine", rows.set_column(place, "limits", pa.array([None], pa.string())))


def stems_of(table: TokenTable) -> dict[str, Any]:
    return table.stems().to_pylist()[0]


def no_stem(table: TokenTable) -> None:
    (Path(stems_of(table)["folder"]) / "bass.flac").unlink()


def no_flac(table: TokenTable) -> None:
    (Path(stems_of(table)["folder"]) / "bass.flac").write_bytes(b"fLaC and then nothing")


def stem_cut_off(table: TokenTable) -> None:
    file = Path(stems_of(table)["folder"]) / "bass.flac"
    file.write_bytes(file.read_bytes()[:-1])


def stem_of_100_bytes(table: TokenTable) -> None:
    file = Path(stems_of(table)["folder"]) / "bass.flac"
    write_audio(file, Audio(np.random.default_rng(0).uniform(-1, 1, (1, 4000)).astype(np.float32), 8000))
    file.write_bytes(file.read_bytes()[:100])


def stem_that_ends_in_zeros(table: TokenTable) -> None:
    file = Path(stems_of(table)["folder"]) / "bass.flac"
    file.write_bytes(file.read_bytes()[:-20] + bytes(20))


def wav_in_disguise(table: TokenTable) -> None:
    (Path(stems_of(table)["folder"]) / "bass.flac").write_bytes(encode_audio(silence(), "wav"))


def two_rows_one_folder(table: TokenTable) -> None:
    row = stems_of(table)
    values = {**row, "separator": "t", "stems": tuple(row["stems"]), "stem_loudness": tuple(row["stem_loudness"])}
    table.commit_stems([StemsRow(**values)])


def unkept_folder(table: TokenTable) -> None:
    (Path(stems_of(table)["folder"]).parent / "somebody's song").mkdir()


def near_but_apart(table: TokenTable) -> None:
    signature = np.random.default_rng(0).bytes(4 * SLOTS)
    assert len(set(near_groups({"a": signature, "b": signature}).values())) == 1
    for number, split in ((8, "train"), (9, "valid")):
        row = song(number, split)
        table.commit_catalog([catalog_row(row, signature)])
        table.commit_tokens([row])


BREACHES: dict[str, tuple[str, Callable[[TokenTable], object]]] = {
    "a data file is cut short": ("files", broken_file),
    "a data file lacks a row": ("files", short_file),
    "a song is there twice": ("keys", lambda table: append(table, "tokens", tokens_table([song(3)]))),
    "a key is null": ("keys", null_key),
    "a layout nobody can read": ("layout", lambda table: add(table, song(8, layout="bass:x"))),
    "a layout of other stems": ("layout", lambda table: add(table, song(8, layout="drums:1,bass:1,other:2"))),
    "a stream too few": ("shape", with_codes(lambda codes: codes[:-1])),
    "a stream shorter than the others": ("shape", with_stream(lambda stream: stream.pop())),
    "a stream longer than the others": ("shape", with_stream(lambda stream: stream.append(0))),
    "frames that are not the codes'": ("shape", lying_frames),
    "no codes": ("shape", null_codes),
    "half the frames that the seconds need": ("frames", lambda table: add(table, song(8, seconds=2.0))),
    "seconds that are no number": ("frames", lambda table: add(table, song(8, seconds=float("nan")))),
    "a code as large as the cardinality": ("codes", with_codes(lambda codes: put(codes, 16))),
    "a code below zero": ("codes", with_codes(lambda codes: put(codes, -1))),
    "a split nobody knows": ("split", lambda table: add(table, song(8, "test"))),
    "no split": ("split", null_split),
    "a loudness too few": ("stem_loudness", lambda table: add(table, song(8, stem_loudness=(-20.0, -20.0)))),
    "a song without a catalog row": ("orphans", lambda table: table.commit_tokens([song(8)])),
    "a stem is gone": ("stems", no_stem),
    "a stem is no audio": ("stems", no_flac),
    "a stem lost its last byte": ("stems", stem_cut_off),
    "of a stem 100 bytes are left": ("stems", stem_of_100_bytes),
    "a stem ends in zeros": ("stems", stem_that_ends_in_zeros),
    "a stem is WAV": ("stems", wav_in_disguise),
    "a stem of another rate": (
        "stems",
        lambda table: rewrite_stem(stems_of(table)["folder"], "bass", silence(0.5, 16_000)),
    ),
    "a stem a frame too long": (
        "stems",
        lambda table: rewrite_stem(stems_of(table)["folder"], "bass", silence(0.53)),
    ),
    "stems of two rows in one folder": ("stems", two_rows_one_folder),
    "a folder that no row names": ("stray_stems", unkept_folder),
    "tokens of a removed song": ("removed", lambda table: remove_row(table, song(3))),
    "a catalog row of a removed song": ("removed", lambda table: remove_row(table, song(7))),
    "a dropped song trains": ("dropped", lambda table: drop(table, "s")),
    "near-duplicates apart": ("near_duplicates", near_but_apart),
    "a signature cut short": (
        "signatures",
        lambda table: table.commit_catalog([catalog_row(song(8), np.random.default_rng(0).bytes(4 * SLOTS - 1))]),
    ),
    "a reason nobody knows": (
        "reasons",
        lambda table: table.commit_quarantine([QuarantineRow("u", "u", "whim", "", "", "", "", "")]),
    ),
}


def remove_row(table: TokenTable, row: TokenRow) -> None:
    table.commit_removed([RemovedRow(row.song_id, (row.uri,), (row.fingerprint,), row.title, "")])


def drop(table: TokenTable, separator: str) -> None:
    row = song(3)
    table.commit_dropped([DroppedRow("3", row.song_id, row.uri, "", (), 1.0, separator, 0.9, "score")])


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_breaks_its_rule_and_no_other(table: TokenTable, breach: str) -> None:
    rule, breaking = BREACHES[breach]
    breaking(table)
    assert list(offenders(table)) == [rule]
    assert report(table).exit_code == (0 if RULES[rule].warning else 4)
    assert report(table).results[rule].first


def test_every_rule_has_a_breach() -> None:
    assert {rule for rule, _ in BREACHES.values()} == set(RULES) - {"sources"}  # looked for on request


def test_stems_of_a_removed_song_are_found(table: TokenTable) -> None:
    remove_row(table, song(0))
    (result,) = [report(table).results["removed"]]
    assert result.offenders == 4  # tokens, stems, and the catalog rows of two files
    assert {offender.partition(":")[0] for offender in result.first} == {"tokens", "stems", "catalog"}


def test_songs_dropped_by_another_separator_or_left_out_as_sung_break_nothing(table: TokenTable) -> None:
    drop(table, "another")
    assert offenders(table) == {}
    drop(table, "s")
    table.revise_songs({}, {(song(3).song_id, "s"): "sung"})
    assert offenders(table) == {}


def test_an_error_nobody_foresaw_is_a_known_reason(table: TokenTable) -> None:
    table.commit_quarantine([QuarantineRow("u", "u", "failed:KeyError", "", "", "", "", "")])
    assert offenders(table) == {}


def test_offenders_are_all_counted_and_the_first_named(table: TokenTable) -> None:
    for number in range(8, 12):
        add(table, song(number, "test"))
    result = report(table, examples=2).results["split"]
    assert result.offenders == 4
    assert len(result.first) == 2
    assert all("/ s /" in name for name in result.first)


def test_a_broken_file_hides_no_other_fault(table: TokenTable) -> None:
    add(table, song(8, "test"))
    files = [Path(f"{table.root}/tokens", file.path) for file in keyed(table, "tokens").files()]
    other = next(file for file in files if song(8).song_id not in pq.read_table(file)["song_id"].to_pylist())
    other.write_bytes(b"")
    assert set(offenders(table)) == {"files", "split"}


def test_a_missing_file_is_named(table: TokenTable) -> None:
    (file,) = Path(f"{table.root}/dropped").glob("*.parquet")
    file.unlink()
    assert file.name in report(table).results["files"].first[0]


def test_the_summary_names_each_rule_and_its_offenders(table: TokenTable) -> None:
    add(table, song(8, "test", separator="[bold]"))
    text = shown(report(table))
    assert all(rule in text for rule in RULES if rule != "sources")
    assert "1 wrong" in text
    assert f"{song(8).song_id} / [bold]" in text


def test_measures_of_songs_of_every_shape() -> None:
    songs: list[Any] = [[[1, 2, 3], [4, 5, 6]], None, [], [[7], []], [[], []], [None, [8]], [[2, None]], [[-3, 9]]]
    column = pa.array(songs, codes_to_arrow([]).type)
    for start in (0, 3):  # slices, too
        grids = measure(column[start:])
        assert grids.streams.tolist() == [2, 0, 0, 2, 2, 2, 1, 1][start:]
        assert grids.shortest.tolist() == [3, -1, -1, 0, 0, -1, 2, 2][start:]
        assert grids.longest.tolist() == [3, -1, -1, 1, 0, 1, 2, 2][start:]
        assert grids.lowest.tolist() == [1, 0, 0, 7, 0, 8, -1, -3][start:]
        assert grids.highest.tolist() == [6, -1, -1, 7, -1, 8, 2, 9][start:]
