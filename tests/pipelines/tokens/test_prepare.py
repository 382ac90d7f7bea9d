"""The whole job, on folders as people have them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.audio.files import Audio, encode_audio
from models.errors import StemsError
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.prepare import prepare
from pipelines.tokens.run.report import PrepareReport
from pipelines.tokens.songs.inspect import inspect_files

GOOD = {
    "stereo 44k.wav": (44100, 2),
    "mono 22k.flac": (22050, 1),
    "deep/er/çà et là.mp3": (48000, 2),
    "deep/low.ogg": (16000, 1),
    "surround.wav": (48000, 6),
}


def noise(seed: int, rate: int, channels: int, seconds: float = 1.3) -> Audio:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    tone = 0.2 * np.sin(2 * np.pi * (110 + 30 * seed) * time)
    return Audio((tone + 0.05 * rng.standard_normal((channels, len(time)))).astype(np.float32), rate)


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def hostile_folder(root: Path) -> Path:
    for seed, (name, (rate, channels)) in enumerate(GOOD.items()):
        put(root / name, encode_audio(noise(seed, rate, channels), name[-3:].replace("lac", "flac")))  # type: ignore[arg-type]
    put(root / "the same.wav", (root / "stereo 44k.wav").read_bytes())
    mp3 = encode_audio(noise(9, 44100, 2, 6.0), "mp3")
    put(root / "truncated.mp3", mp3[: len(mp3) // 2])
    put(root / "text.wav", b"not music\n" * 50)
    put(root / "zero.flac", b"")
    put(root / "two hours.flac", encode_audio(Audio(np.zeros((1, 7200 * 8000), np.float32), 8000), "flac"))
    put(root / "silence.wav", encode_audio(Audio(np.zeros((2, 2 * 44100), np.float32), 44100)))
    put(root / "sung.wav", encode_audio(noise(7, 44100, 2)))
    put(root / "sung.json", b'{"caption": "a song", "tags": ["Vocals"]}')
    put(root / "mono 22k.txt", "ein ruhiges Stück".encode())
    (root / "folder.wav").mkdir()
    (root / "around").symlink_to(root)
    return root


def config(models: Any, root: Path, **changes: Any) -> PrepareConfig:
    values: dict[str, Any] = {
        "catalog": str(root / "songs"),
        "table": str(root / "table"),
        "separator": models.separator,
        "codecs": models.codecs,
        "vocal_threshold": 1.0,
        "min_seconds": 1.0,
        "songs_per_batch": 3,
        "commit_songs": 3,
    }
    return PrepareConfig(**{**values, **changes})


def sorted_rows(table: TokenTable) -> list[dict[str, Any]]:
    return table.rows().sort_by("song_id").to_pylist()


def test_a_hostile_folder_interrupted_finished_and_run_again(
    tiny_models: Any, tmp_path: Path, ray_local: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile_folder(tmp_path / "songs")
    settings = config(tiny_models, tmp_path)
    table = TokenTable(settings.table)
    commit = TokenTable.commit_tokens

    def killed(*args: Any) -> int:
        commit(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(TokenTable, "commit_tokens", lambda table, rows: killed(table, rows) if rows else 0)
    with pytest.raises(KeyboardInterrupt):
        prepare(settings)
    monkeypatch.setattr(TokenTable, "commit_tokens", commit)
    first = sorted_rows(table)
    assert 0 < len(first) < len(GOOD)

    report = prepare(settings)
    rows = sorted_rows(table)
    assert {row["uri"].removeprefix(f"{settings.catalog}/") for row in rows} == set(GOOD)
    assert len(rows) == len(GOOD)
    assert [row for row in rows if row in first] == first
    assert report.songs == len(GOOD) + 7
    assert report.tokenized == len(GOOD) - len(first)

    reasons = {row["uri"].rsplit("/", 1)[-1]: row["reason"] for row in table.quarantine().to_pylist()}
    assert reasons == {
        "the same.wav": "duplicate",
        "truncated.mp3": "truncated",
        "text.wav": "unreadable",
        "zero.flac": "empty",
        "two hours.flac": "too_long",
        "silence.wav": "silent",
    }
    (dropped,) = table.dropped().to_pylist()
    assert (dropped["title"], dropped["decided_by"], dropped["vocal_score"]) == ("sung", "tag:vocals", None)
    assert len(list(Path(table.root, "reports").glob("*.html"))) == 1

    by_title = {row["title"]: row for row in rows}
    assert by_title["mono 22k"]["caption"] == "ein ruhiges Stück"
    assert (by_title["surround"]["source_rate"], by_title["surround"]["source_channels"]) == (48000, 6)
    for row in rows:
        assert row["layout"] == "bass:1,drums:1,other:2"
        assert [len(stream) for stream in row["codes"]] == [row["frames"]] * 4
        assert row["frames"] == int(np.ceil(row["seconds"] * 50))
        assert len({code for stream in row["codes"] for code in stream}) > 4

    versions = table.versions()
    monkeypatch.setattr("pipelines.tokens.run.run.connect", lambda: pytest.fail("Ray was started"))
    again = prepare(settings)
    assert (again.already_there, again.tokenized, again.quarantined) == (len(GOOD) + 7, 0, {})
    assert table.versions() == again.versions == versions


@pytest.mark.slow
def test_a_file_that_crashes_its_task_costs_nobody_else(
    tiny_models: Any, tmp_path: Path, ray_local: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("a", "bomb", "c")):
        put(tmp_path / "songs" / f"{name}.wav", encode_audio(noise(seed, 44100, 2)))

    def crash(batch: pa.Table, **options: Any) -> pa.Table:
        if any("bomb" in entry for entry in batch["entry"].to_pylist()):
            os._exit(11)  # as a decoder does that runs into a wild pointer
        return inspect_files(batch, **options)

    monkeypatch.setattr("pipelines.tokens.run.survey.inspect_files", crash)
    report = prepare(config(tiny_models, tmp_path, keep_stems=str(tmp_path / "stems")))
    assert (report.tokenized, report.quarantined) == (2, {"crashed": 1})
    assert TokenTable(str(tmp_path / "table")).rows().sort_by("uri")["title"].to_pylist() == ["a", "c"]
    assert len(list((tmp_path / "stems").iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codecs": "nowhere"}, "no codecs in 'nowhere'"),
        ({"separator": "no/where"}, "no model in 'no/where'"),
        ({"layout": "bass:1,drums:3"}, "'drums' has 1 codebooks; the layout says 3"),
        ({"layout": "bass:1,piano:1"}, "no codec in"),
        ({"catalog": "nowhere"}, "no folder 'nowhere'"),
    ],
)
def test_settings_at_fault_are_named(tiny_models: Any, tmp_path: Path, changes: dict[str, str], said: str) -> None:
    put(tmp_path / "songs" / "a.wav", encode_audio(noise(0, 44100, 2)))
    with pytest.raises(StemsError) as error:
        prepare(config(tiny_models, tmp_path, **changes))
    assert said in error.value.message
    assert error.value.hint


def test_the_summary_shows_every_count() -> None:
    table = PrepareReport(9, 1, 2, 3, 1, {"empty": 2}, 0.5, 12.0).summary()
    cells = dict(zip(*(list(column.cells) for column in table.columns), strict=True))
    assert cells["quarantined"] == cells["  empty"] == "2"
    assert (cells["songs in"], cells["tokenized"], cells["with vocals, dropped"]) == ("9", "2", "3")
