"""No command deletes files of others: a walk over every command that has an output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cli

NEEDED = {
    ("catalog",): ["--source", "/nowhere"],
    ("table", "export", "webdataset"): ["/nowhere"],
    ("train", "codec"): ["--stems", "/nowhere", "--stem", "bass"],
    ("train", "lm"): ["--table", "/nowhere", "--codecs", "/nowhere"],
    ("train", "separator"): ["--data", "/nowhere"],
    ("import",): ["--source", "/nowhere"],
    ("assemble",): ["--lm", "/nowhere", "--codecs", "/nowhere"],
    ("generate",): ["--model", "/nowhere"],
    ("edit",): ["--model", "/nowhere", "--song", "/nowhere"],
    ("extend",): ["--model", "/nowhere", "--song", "/nowhere"],
    ("request", "edit"): ["--song", "/nowhere"],
    ("request", "continuation"): ["--song", "/nowhere"],
    ("request", "variation"): ["--song", "/nowhere", "--stem", "bass"],
}
"""What else must be given. None of it is there, so that a refusal of the output comes before the work."""

FILES = {("catalog",)}
"""Commands whose output is one file."""

COMMANDS = [path for path, command in cli.COMMANDS.items() if "output" in command.load_settings().model_fields]


def run(path: tuple[str, ...], output: Path | str) -> int:
    return cli.main([*path, *NEEDED.get(path, []), "--output", str(output)])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("spelled", ["{}", "{}/", "{}/.", "{}/below/..", "link"])
def test_a_folder_with_a_file_of_others_is_refused_before_the_work_and_the_file_stays(
    path: tuple[str, ...], spelled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "masters"
    (folder / "below").mkdir(parents=True)
    mine = folder / "below" / "mix.wav"
    mine.write_text("mine")
    (tmp_path / "link").symlink_to(folder)
    assert run(path, tmp_path / "link" if spelled == "link" else spelled.format(folder)) == 2
    said = capsys.readouterr().err
    assert str(folder) in said
    assert len(said.splitlines()) == 1
    assert mine.read_text() == "mine"
    assert [file.name for file in folder.rglob("*")] == ["below", "mix.wav"]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_file_in_the_way_is_named_before_the_work(
    path: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for output in (mine, mine / "song"):
        assert run(path, output) == 2
        assert f"'{mine}' is " in capsys.readouterr().err
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("output", ["", "x" * 300])
def test_a_name_that_cannot_be_one_is_refused_before_the_work(
    path: tuple[str, ...],
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(path, output) == 2
    said = capsys.readouterr().err
    assert any(text in said for text in ("output is empty", "nowhere to write to", "file name too long"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    """As another user: root may write everywhere."""
    if os.getuid():
        pytest.skip("only root may become another user")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    script = f"""
import os, sys
import cli
import models.files.output_folder, pipelines.composing.jobs
import pipelines.training.separator.train_separator, pipelines.catalog.command
from cli.parsing import parse
parse(("generate",), ["--model", "loads the parser, which that user may not read"])
os.setuid(65534)
for words in (["generate", "--model", "/nowhere"], ["train", "separator", "--data", "/nowhere"],
              ["catalog", "--source", "/nowhere"]):
    assert cli.main([*words, "--output", "{closed}/out"]) == 2, words
"""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("stems:")]
    assert len(said) == 3
    assert all("permission denied" in line and str(closed) in line for line in said)


def test_a_working_directory_that_is_gone_is_named_in_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m cli generate --model /nowhere --output song"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    assert "working directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_table_is_not_begun_in_a_folder_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipelines.tokens.config import RetokenizeConfig
    from pipelines.tokens.paths import check_outputs

    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Exception, match="notes"):
        check_outputs(RetokenizeConfig(table=str(tmp_path), codecs="c"))
    check_outputs(RetokenizeConfig(table=str(tmp_path / "tokens"), codecs="c", report=str(tmp_path)))
