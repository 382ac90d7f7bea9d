"""Released files that are damaged or not finite are refused in one line, before anything is written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
import torch
from helpers.release import write_release
from helpers.tiny import LAYOUT, tiny_assembly_directory, tiny_codec, tiny_lm

import cli

LM, CODEC = "state_dict.bin", "compression_state_dict_bass.bin"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    codecs = {stem.name: tiny_codec(stem.codebooks) for stem in LAYOUT.stems}
    write_release(tmp_path / "release", tiny_lm(), codecs)
    return tmp_path / "release"


def _rewrite(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = torch.load(file, weights_only=True)
        change(content)
        torch.save(content, file)

    return damage


def _not_a_number(content: dict[str, Any]) -> None:
    next(iter(content["best_state"].values())).view(-1)[0] = float("nan")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "NaN": _rewrite(_not_a_number),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:1000]),
    "text": lambda file: file.write_text("these are words", encoding="utf-8"),
    "no configuration": _rewrite(lambda content: content.update({"xp.cfg": ""})),
    "a list for a configuration": _rewrite(lambda content: content.update({"xp.cfg": "[1, 2]"})),
    "a configuration that names itself": _rewrite(lambda content: content.update({"xp.cfg": "a: ${a}"})),
    "a configuration of nothing": _rewrite(lambda content: content.update({"xp.cfg": "a: 1"})),
    "weights that are a list": _rewrite(lambda content: content.update({"best_state": [1]})),
    "weights that are words": _rewrite(lambda content: content.update({"best_state": {"a": "b"}})),
}


@pytest.mark.parametrize("file", [LM, CODEC])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_broken_release_is_refused_in_one_line(
    release: Path, tmp_path: Path, file: str, damage: Callable[[Path], object], capfd: pytest.CaptureFixture[str]
) -> None:
    damage(release / file)
    assert cli.main(["import", "--source", str(release), "--output", str(tmp_path / "model")]) == 2
    said = capfd.readouterr().err
    assert str(release) in said
    assert said.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_a_hub_out_of_reach_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise httpx.ConnectError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", no_network)
    words = ["import", "--source", "somebody/music", "--output", str(tmp_path / "model")]
    assert cli.main(words) == 2
    said = capfd.readouterr().err
    assert "'somebody/music' is not a directory, and the hub has no such model" in said
    assert said.count("\n") == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give its rights away")
def test_a_model_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    model = tiny_assembly_directory(tmp_path / "model")
    (model / "lm" / "config.json").chmod(0)
    os.chown(model / "lm" / "config.json", 12345, 12345)
    words = [sys.executable, "-m", "cli", "engine", "plan", "--model", str(model)]
    weak = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]  # of another user's files, as anybody
    done = subprocess.run(
        [*weak, *words], capture_output=True, text=True, check=False, cwd=Path(cli.__file__).parents[1]
    )
    assert done.returncode == 2
    assert (
        f"'{model}/lm/config.json' cannot be read: Permission denied. Give this user permission to read"
        in done.stderr
    )
