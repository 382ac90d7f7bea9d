"""A job to call: `stems take TABLE SONG…`, beside `stems shelve` and `stems shelve plan`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from helpers.take_songs import Job, Run, Seen, Settings

import cli
from cli.commands import GROUPS, Command


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job], None]:
    """Makes a function the job of these commands."""
    module = ModuleType("take_songs")
    monkeypatch.setitem(sys.modules, "take_songs", module)
    places = ("take_songs:Settings", "take_songs:take")
    monkeypatch.setitem(cli.COMMANDS, ("take",), Command(GROUPS[0], "take songs", *places, ("table", "songs")))
    monkeypatch.setitem(cli.COMMANDS, ("shelve",), Command(GROUPS[0], "shelve songs", *places))
    monkeypatch.setitem(cli.COMMANDS, ("shelve", "plan"), Command(GROUPS[0], "plan to shelve songs", *places))

    def use(function: Job) -> None:
        vars(module).update(Settings=Settings, take=function)

    use(lambda settings: None)
    return use


@pytest.fixture
def seen(job: Callable[[Job], None]) -> Seen:
    """The settings that these commands were called with."""
    settings: Seen = []
    job(settings.append)
    return settings


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in this process, on a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str) -> tuple[int, str, str]:
        status = cli.main(list(words))
        said = capsys.readouterr()
        return status, said.out, said.err

    return run
