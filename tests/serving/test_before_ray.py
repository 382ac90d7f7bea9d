"""What is wrong with a service is found before Ray starts: in seconds, in one line that names the setting."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.errors import StemsError
from models.song.model_check import check_model
from serving.app import _settled
from serving.config import ServeConfig

RUNS_NO_RAY = """
import sys
from serving import app, service
service.connect = lambda: sys.exit("Ray was started")
import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def stems_serve(*words: str, before: tuple[str, ...] = ()) -> tuple[int, str]:
    done = subprocess.run(
        [*before, sys.executable, "-c", RUNS_NO_RAY, "serve", *words], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is needed")
@pytest.mark.parametrize("setting", ["state", "results"])
def test_places_that_cannot_be_written_are_named(model_directory: Path, tmp_path: Path, setting: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    places = {"state": f"sqlite:///{tmp_path}/state.db", "results": f"{tmp_path}/results"}
    places |= {setting: f"sqlite:///{closed}/state.db" if setting == "state" else str(closed)}
    words = [f"--{name}={place}" for name, place in places.items()]
    # Who runs the tests may be root, to whom rights do not matter.
    ordinary = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()
    status, said = stems_serve(f"--model={model_directory}", "--port=18999", *words, before=ordinary)
    assert (status, said.count("\n")) == (2, 1), said
    assert f"--{setting}" in said


def test_a_database_that_is_read_only_is_named(tmp_path: Path) -> None:
    from serving.jobs.database import open_database

    open_database(f"sqlite:///{tmp_path}/state.db").dispose()
    with pytest.raises(StemsError, match="--state"):
        open_database(f"sqlite:///file:{tmp_path}/state.db?mode=ro&uri=true")


def broken(model: Path, tmp_path: Path, fault: str) -> Path:
    model = shutil.copytree(model, tmp_path / "model")
    weights = model / "lm" / "model.safetensors"
    if fault == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif fault == "foreign":
        save_file({"a": torch.zeros(2)}, weights)
    elif fault == "nan":
        tensors = load_file(weights)
        next(iter(tensors.values())).view(-1)[0] = float("nan")
        save_file(tensors, weights)
    elif fault == "size":
        config = json.loads((model / "lm" / "config.json").read_text())
        (model / "lm" / "config.json").write_text(json.dumps(config | {"dim": config["dim"] * 2}))
    elif fault == "codec":
        (model / "codecs" / "bass" / "model.safetensors").write_bytes(b"nothing")
    elif fault == "separator":
        (model / "separator" / "model.safetensors").write_bytes(b"nothing")
    return model


@pytest.mark.parametrize("fault", ["truncated", "foreign", "nan", "size", "codec", "separator"])
def test_a_model_that_cannot_be_loaded_is_found_with_the_file_at_fault(
    model_directory: Path, tmp_path: Path, fault: str
) -> None:
    with pytest.raises(StemsError, match=r"lm/|codecs/bass|separator") as caught:
        check_model(broken(model_directory, tmp_path, fault))
    assert "\n" not in str(caught.value)


def test_a_sound_model_passes(model_directory: Path) -> None:
    check_model(model_directory)


def test_a_model_that_cannot_be_loaded_ends_the_command_before_ray(model_directory: Path, tmp_path: Path) -> None:
    model = broken(model_directory, tmp_path, "truncated")
    places = (f"--state=sqlite:///{tmp_path}/state.db", f"--results={tmp_path}/results", "--port=18998")
    status, said = stems_serve(f"--model={model}", *places)
    assert (status, said.count("\n")) == (2, 1), said


def test_paths_mean_the_same_to_processes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    settled = _settled(
        ServeConfig(model="model", cache="~/cache", results="out", state="sqlite:///~/state.db", tracking="http://x")
    )
    assert settled.model == str(tmp_path / "model")
    assert settled.cache == "/home/me/cache"
    assert settled.results == str(tmp_path / "out")
    assert settled.state == "sqlite:////home/me/state.db"
    assert settled.tracking == "http://x"
    assert _settled(ServeConfig(model="~/model")).model == "/home/me/model"
    assert _settled(ServeConfig(model="s3://bucket/model")).model == "s3://bucket/model"
