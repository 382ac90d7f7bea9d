"""A job to call: `stems take TABLE SONG…`, beside `stems shelve` and `stems shelve plan`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

import cli
from cli.commands import GROUPS, Command

Run = Callable[..., tuple[int, str, str]]
"""Runs words of a command line: exit code, standard output, standard error."""


class Settings(BaseModel):
    """Settings of the commands below."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str = Field(min_length=1)
    """Folder of the table."""

    songs: list[str]
    """Songs to take."""

    reason: str = ""
    """Why."""

    dry_run: bool = False
    """Only say what would be taken."""

    keep_mix: bool = True
    """Leave the mix."""

    kinds: list[Literal["flac", "wav"]] = ["flac"]
    """Kinds of files."""

    sizes: list[int] = []
    """Sizes of the parts."""

    share: float | None = Field(default=0.5, ge=0, lt=1)
    """Share to take."""

    room: dict[str, float] = {}
    """Room on each shelf."""

    resume: bool | Literal["auto"] = "auto"
    """Whether to go on."""


Job = Callable[[Settings], object]
Seen = list[Settings]


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
