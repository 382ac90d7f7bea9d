"""What a user can correct never looks like an internal error: the whole table of commands, under odd conditions.

Each ends with code 2 and one line that names what is wrong, without hanging, and before anything is started for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import ray
from helpers.faults import INPUTS, MODELS, House, damaged_models, odd_places, settings
from ray import serve

import cli

SECONDS = 20


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House.build(tmp_path_factory.mktemp("house"))


@pytest.fixture(autouse=True)
def nothing_starts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("something was started")

    for module, name in ((ray, "init"), (serve, "start"), (serve, "run")):
        monkeypatch.setattr(module, name, started)
    monkeypatch.chdir(house.root)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("the command hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """What is wrong with a refusal; empty where it is as it shall be."""
    with at_most(SECONDS):
        status = cli.main(words)
    said = capfd.readouterr().err
    return "" if status == 2 and said.startswith("stems: ") and said.count("\n") == 1 else f"{status}: {said[:500]}"


def _walk(house: House, tmp_path: Path, capfd: pytest.CaptureFixture[str], among: tuple[str, ...]) -> None:
    wrong = {}
    for what, place in odd_places(tmp_path / "odd").items():
        for path, setting in settings(among):
            if found := refused(house.words(path, setting, place), capfd):
                wrong[f"{' '.join(path)} --{setting}: {what}"] = found
    assert wrong == {}


def test_every_command_refuses_a_model_that_is_none(
    house: House, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _walk(house, tmp_path, capfd, MODELS)


@pytest.mark.slow
def test_every_command_refuses_what_cannot_be_read(
    house: House, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _walk(house, tmp_path, capfd, INPUTS)


@pytest.mark.slow
def test_every_command_names_the_damaged_file_of_a_model(
    house: House, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = {"model": "", "lm": "lm", "codecs": "codecs", "separator": "separator"}
    wrong = {}
    for file, model in damaged_models(house.root / "model", tmp_path):
        for path, setting in settings(tuple(parts)):
            part = parts[setting]
            if not file.startswith(part) or path[0] in ("retokenize", "train") or _reads_less(path, file):
                continue
            words = house.words(path, setting, model / part)
            with at_most(SECONDS):
                status = cli.main(words)
            said = capfd.readouterr().err
            if status != 2 or said.count("\n") != 1 or str((model / file).parent) not in said:
                wrong[f"{' '.join(path)} --{setting}: {file} ({model})"] = f"{status}: {said[:300]}"
    assert wrong == {}


def _reads_less(path: tuple[str, ...], file: str) -> bool:
    """An engine is planned from the language model's sizes alone; a plan of prepare reads no weights that fit."""
    return path == ("engine", "plan") and file != "lm/config.json"


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "tpu", "mps", ""])
def test_every_command_refuses_a_device_that_is_not_there(
    house: House, device: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    asked = [path for path, _ in settings(("device",))]
    assert asked == [("generate",), ("edit",), ("extend",), ("engine", "plan")]
    assert [refused(house.words(path, "device", device), capfd) for path in asked] == [""] * 4


def test_every_setting_of_a_walk_is_one_of_a_command() -> None:
    known = {name for path in cli.COMMANDS for name in cli.COMMANDS[path].load_settings().model_fields}
    assert {*MODELS, *INPUTS} <= known
