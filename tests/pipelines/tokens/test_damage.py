"""Files that are replaced, kept stems that are damaged, and disks that are full: no good song is set aside for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.in_process import run_in_process
from helpers.small_disk import fill, small_disk

import cli
from models.audio.files import Audio, write_audio
from models.errors import StemsError
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig, RetokenizeConfig
from pipelines.tokens.prepare import prepare
from pipelines.tokens.retokenize import retokenize
from pipelines.tokens.songs.kept_stems import stem_uri
from pipelines.upkeep.config import VerifyConfig
from pipelines.upkeep.verify import verify

OTHER_LAYOUT = "drums:1,bass:1,other:2"


def noise(seed: int, seconds: float = 1.2) -> Audio:
    rng = np.random.default_rng(seed)
    return Audio((0.1 * rng.standard_normal((2, int(seconds * 44100)))).astype(np.float32), 44100)


def settings(models: Any, root: Path, **changes: Any) -> dict[str, Any]:
    return {
        "catalog": str(root / "songs"),
        "table": str(root / "table"),
        "separator": models.separator,
        "codecs": models.codecs,
        "vocal_threshold": 1.0,
        "min_seconds": 1.0,
        "threads": 1,
        **changes,
    }


def command(models: Any, root: Path, **changes: Any) -> list[str]:
    return ["prepare", *(f"--{name}={value}" for name, value in settings(models, root, **changes).items())]


def rows(root: Path) -> list[dict[str, Any]]:
    found = TokenTable(str(root / "table")).rows().sort_by([("title", "ascending"), ("codecs", "ascending")])
    return list(found.to_pylist())


def quarantined(root: Path) -> list[dict[str, Any]]:
    return list(TokenTable(str(root / "table")).quarantine().to_pylist())


def broken_rules(root: Path) -> tuple[str, ...]:
    return verify(VerifyConfig(table=str(root / "table"))).broken


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run in this process."""
    run_in_process(monkeypatch)


@pytest.fixture(scope="module")
def prepared(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs, listed in a catalog file, with their tokens and stems."""
    root = tmp_path_factory.mktemp("prepared")
    for k in (1, 2):
        write_audio(root / "songs" / f"song {k}.flac", noise(k))
    with pytest.MonkeyPatch.context() as patch:
        run_in_process(patch)
        prepare(PrepareConfig(**settings(tiny_models, root, keep_stems=str(root / "stems"))))
    return root


@pytest.fixture
def root(prepared: Path) -> Path:
    """The same folder, as it was: rows name places in it."""
    spare = prepared.with_name("spare")
    if not spare.exists():
        shutil.copytree(prepared, spare, copy_function=shutil.copy2)
    shutil.rmtree(prepared)
    return Path(shutil.copytree(spare, prepared, copy_function=shutil.copy2))


def damage_stems(root: Path) -> dict[str, bytes]:
    """One song's drums are cut short, the other's bass is gone; all stems as they were."""
    first, second = TokenTable(str(root / "table")).stems().sort_by("folder")["folder"].to_pylist()
    before = {str(file): file.read_bytes() for file in (root / "stems").rglob("*.flac")}
    Path(stem_uri(first, "drums")).write_bytes(before[stem_uri(first, "drums")][:100])
    Path(stem_uri(second, "bass")).unlink()
    return before


def test_damaged_stems_are_made_again_in_their_place(tiny_models: Any, root: Path) -> None:
    made, before = rows(root), damage_stems(root)
    assert broken_rules(root) == ("stems",)
    report = prepare(PrepareConfig(**settings(tiny_models, root, keep_stems=str(root / "elsewhere"))))
    assert {str(file): file.read_bytes() for file in (root / "stems").rglob("*.flac")} == before
    assert broken_rules(root) == ()
    assert (rows(root), quarantined(root), report.already_there) == (made, [], 2)
    assert not (root / "elsewhere").exists()


def test_songs_with_damaged_stems_are_encoded_from_their_files(tiny_models: Any, root: Path) -> None:
    made, _ = rows(root), damage_stems(root)
    report = prepare(PrepareConfig(**settings(tiny_models, root, layout=OTHER_LAYOUT)))
    assert (report.tokenized, report.quarantined, quarantined(root)) == (2, {}, [])
    new = [row for row in rows(root) if row["layout"] == OTHER_LAYOUT]
    for old, row in zip(made, new, strict=True):
        assert row["codes"][:2] == old["codes"][1::-1]
        assert (row["vocal_score"], row["residual_db"]) == (old["vocal_score"], old["residual_db"])


def test_retokenize_says_which_command_makes_damaged_stems_again(tiny_models: Any, root: Path) -> None:
    damage_stems(root)
    table = str(root / "table")
    with pytest.raises(StemsError, match="2 of 2 files are in quarantine or out of reach") as caught:
        retokenize(RetokenizeConfig(table=table, codecs=tiny_models.codecs, layout=OTHER_LAYOUT))
    assert (caught.value.code, quarantined(root)) == ("too_many_errors", [])
    assert f"'{root / 'stems'}" in caught.value.message
    assert "`stems prepare --keep-stems FOLDER`" in caught.value.message


def test_a_file_that_was_replaced_gets_no_codes_under_the_old_songs_name(tiny_models: Any, root: Path) -> None:
    catalog = ["catalog", f"--source={root / 'songs'}", f"--output={root / 'old.parquet'}"]
    assert cli.main(catalog) == 0
    write_audio(root / "songs" / "song 1.flac", noise(9))
    shutil.rmtree(root / "stems")
    changed = settings(tiny_models, root, catalog=str(root / "old.parquet"), layout=OTHER_LAYOUT)
    report = prepare(PrepareConfig(**changed))
    assert (report.tokenized, report.quarantined, quarantined(root)) == (1, {"changed": 1}, [])
    assert report.problems[0].uri.endswith("song 1.flac")
    assert [row["title"] for row in rows(root) if row["layout"] == OTHER_LAYOUT] == ["song 2"]

    report = prepare(PrepareConfig(**settings(tiny_models, root, layout=OTHER_LAYOUT)))
    assert (report.tokenized, report.quarantined) == (1, {})


def test_stems_that_find_no_room_stop_the_job_and_it_goes_on_later(
    tiny_models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in (1, 2, 3):
        write_audio(tmp_path / "songs" / f"song {k}.flac", noise(k, 1.2))
    with small_disk(tmp_path / "disk", "600k") as disk:
        words = command(tiny_models, tmp_path, keep_stems=disk / "stems", songs_per_batch=1)
        ballast = fill(disk, but=160_000)
        assert cli.main(words) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stems:")]
        assert said[0].startswith(f"stems: The disk of '{disk / 'stems'}' is full")
        assert (len(said), len(quarantined(tmp_path)), len(rows(tmp_path))) == (1, 0, 1)
        assert not list(disk.rglob(".*"))
        ballast.unlink()
        assert cli.main(words) == 0
        assert len(rows(tmp_path)) == 3
        assert broken_rules(tmp_path) == ()


@pytest.mark.parametrize("setting", ["table", "report"])
def test_a_full_disk_under_table_or_report_is_named(
    tiny_models: Any, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        if setting == "table":
            shutil.copytree(root / "table", disk / "table")
        words = command(tiny_models, root, **{setting: disk / setting}, layout=OTHER_LAYOUT)
        ballast = fill(disk, but=16_384 if setting == "report" else 0)
        if setting == "report":
            ballast.write_bytes(ballast.read_bytes() + bytes(12_288))
        assert cli.main(words) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stems:")]
        assert f"The disk of '{disk / setting}" in said[0]
        assert quarantined(root) == []
        done = [row for row in rows(root if setting == "report" else disk) if row["layout"] == OTHER_LAYOUT]
        assert len(done) == (2 if setting == "report" else 0)
        ballast.unlink()
        assert cli.main(words) == 0
        table = root if setting == "report" else disk
        assert len([row for row in rows(table) if row["layout"] == OTHER_LAYOUT]) == 2
