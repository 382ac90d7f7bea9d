"""What a person sees at the command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

import cli
from cli import Command
from models.errors import StemsError


class Settings(BaseModel):
    """Settings of the commands below."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str = Field(min_length=1)
    """Folder of the table."""

    songs: list[str]
    """Songs to take."""

    reason: str = ""
    """Why."""


@dataclass(frozen=True)
class Result:
    exit_code: int


Job = Callable[[Settings], object]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job], None]:
    """Makes a function the job of `stems take TABLE SONG…`, beside `stems shelve` and `stems shelve plan`."""
    module = ModuleType("take_songs")
    monkeypatch.setitem(sys.modules, "take_songs", module)
    taking = Command("take songs", "take_songs:Settings", "take_songs:take", ("table", "songs"))
    shelving = Command("shelve songs", "take_songs:Settings", "take_songs:take")
    planning = Command("say what shelve would do", "take_songs:Settings", "take_songs:take")
    commands = {("take",): taking, ("shelve",): shelving, ("shelve", "plan"): planning}
    monkeypatch.setattr(cli, "COMMANDS", commands)

    def use(function: Job) -> None:
        vars(module).update(Settings=Settings, take=function)

    use(lambda settings: None)
    return use


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = cli.main(list(words))
    return status, capsys.readouterr().err


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        cli.main(list(words))
    return capsys.readouterr().out


@pytest.mark.parametrize("path", cli.COMMANDS, ids=" ".join)
def test_a_command_has_settings_a_function_and_help(path: tuple[str, ...]) -> None:
    command = cli.COMMANDS[path]
    fields = cli._find(command.settings).model_fields
    assert fields
    assert all(fields[name].description for name in command.positional)
    assert callable(cli._find(command.function))
    assert command.help


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate"], "--model must be given"),
        (
            ["generate", "--model", "x", "--seconds", "-3"],
            "--seconds -3: Input should be greater",
        ),
        (["generate", "--model", "x", "--secondz", "3"], "--secondz"),
        (["generate", "--model", "x", "--seed", "a"], "--seed a: expected int"),
        (["train", "lm", "--table", "t", "--codecs", "c", "--preset", "huge"], "'tiny', 'small'"),
        (["trian"], "'trian' is not a command. The nearest is 'train'"),
        (["train", "ml"], "'train ml' is not a command. The nearest is 'train lm'"),
        (["verify"], "The nearest is 'table verify'"),
        (["table", "export", "webdatset"], "The nearest is 'table export webdataset'"),
        (["prepare", "paln", "--table", "t"], "'prepare paln' is not a command. The nearest is 'prepare plan'"),
        (["xyzzy"], "'xyzzy' is not a command. See `stems --help`"),
        (["--secondz", "generate"], "'--secondz' is not a command"),
        (["generate", "now", "--model", "x"], "now"),
        (["generate", "--model", "/nowhere"], "no assembly.json"),
        (["generate", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["prepare", "--catalog", "/nowhere", "--table", "t", "--separator", "s", "--codecs", "c"], "/nowhere"),
    ],
)
def test_bad_input_is_named_in_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    status, message = run(capsys, *words)
    assert status == 2
    assert said in message
    assert message.startswith("stems: ")
    assert len(message.splitlines()) == 1


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(Exception, match=r"assembly\.json"):
        cli.main(["--debug", "generate", "--model", "/nowhere"])


def test_settings_come_from_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "song.yaml"
    file.write_text(yaml.safe_dump({"model": "m", "seconds": 4.0, "prompt": "slow"}))
    values = cli._parse(("generate",), ["--config", str(file), "--seconds", "5"])
    assert (values["model"], values["prompt"], values["seconds"]) == ("m", "slow", 5.0)


def test_a_list_setting_is_written_in_brackets() -> None:
    values = cli._parse(("edit",), ["--model", "m", "--song", "s", "--regenerate", "[bass, drums]"])
    assert values["regenerate"] == ["bass", "drums"]


def test_an_unknown_setting_in_a_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "song.yaml"
    file.write_text(yaml.safe_dump({"model": "m", "secs": 4.0}))
    status, message = run(capsys, "generate", "--config", str(file))
    assert status == 2
    assert "secs" in message


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    out = listed(capsys, *words)
    for path, command in cli.COMMANDS.items():
        assert f"\n  {' '.join(path)}  " in out
        assert command.help in out
    for code in (0, 1, 2, 3, 4, 130):
        assert f"\n{code:5}  " in out
    assert set(cli.EXIT_CODES.values()) == {3, 4}


@pytest.mark.parametrize("words", [["train"], ["train", "--help"], ["train", "-h"]])
def test_a_group_lists_its_commands_alone(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    lines = listed(capsys, *words).splitlines()
    assert lines[0] == "usage: stems train COMMAND ..."
    assert [line.split("  ")[1] for line in lines if line.startswith("  train")] == [
        "train codec",
        "train lm",
        "train separator",
    ]
    assert not any(line.startswith(("  table", "  demo")) for line in lines)


def test_help_of_a_command_explains_its_settings(capsys: pytest.CaptureFixture[str], job: object) -> None:
    out = " ".join(listed(capsys, "take", "--help").split())
    assert out.startswith("usage: stems take [")
    assert "TABLE SONGS [SONGS ...]" in out
    for said in ("Folder of the table.", "Songs to take.", "--reason REASON Why.", "--config"):
        assert said in out
    assert "--table" not in out


def test_a_command_with_sub_commands_names_them(capsys: pytest.CaptureFixture[str], job: object) -> None:
    assert "See also: stems shelve plan." in listed(capsys, "shelve", "--help")
    assert "usage: stems shelve plan" in listed(capsys, "shelve", "plan", "--help")


@pytest.mark.parametrize(
    "words",
    [["t", "a", "b", "--reason", "asked"], ["--reason", "asked", "t", "a", "b"], ["t", "--reason=asked", "a", "b"]],
)
def test_positional_settings_may_stand_before_and_after_options(job: Callable[[Job], None], words: list[str]) -> None:
    seen: list[Settings] = []
    job(seen.append)
    assert cli.main(["take", *words]) == 0
    assert seen == [Settings(table="t", songs=["a", "b"], reason="asked")]


def test_positional_settings_come_from_a_file_too(job: Callable[[Job], None], tmp_path: Path) -> None:
    file = tmp_path / "take.yaml"
    file.write_text(yaml.safe_dump({"table": "t", "songs": ["a"]}))
    seen: list[Settings] = []
    job(seen.append)
    assert cli.main(["take", "--config", str(file)]) == 0
    assert seen == [Settings(table="t", songs=["a"])]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["take"], "stems: TABLE, SONGS must be given. See --help."),
        (["take", "t"], "stems: SONGS must be given. See --help."),
        (["take", "", "a"], "stems: TABLE '': String should have at least 1 character."),
        (["shelve", "plan"], "stems: --table, --songs must be given. See --help."),
    ],
)
def test_a_missing_or_wrong_setting_is_named_as_it_is_given(
    capsys: pytest.CaptureFixture[str], job: object, words: list[str], said: str
) -> None:
    assert run(capsys, *words) == (2, f"{said}\n")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StemsError("no such file", code="missing"), 2),
        (StemsError("7 of 10 files failed", code="too_many_errors"), 3),
        (StemsError("a code is too large", code="contract"), 4),
        (KeyboardInterrupt(), 130),
        (RuntimeError("a bug"), 1),
    ],
)
def test_the_exit_code_says_how_a_job_ended(
    capsys: pytest.CaptureFixture[str], job: Callable[[Job], None], error: BaseException, status: int
) -> None:
    def fail(settings: Settings) -> None:
        raise error

    job(fail)
    found, message = run(capsys, "take", "t", "a")
    assert found == status
    assert str(error) in message


@pytest.mark.parametrize("status", [0, 3])
def test_a_result_may_say_the_exit_code(job: Callable[[Job], None], status: int) -> None:
    job(lambda settings: Result(status))
    assert cli.main(["take", "t", "a"]) == status


def test_sigterm_interrupts_and_lets_the_job_clean_up(
    capsys: pytest.CaptureFixture[str], job: Callable[[Job], None]
) -> None:
    cleaned: list[bool] = []

    def be_stopped(settings: Settings) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the job went on")
        finally:
            cleaned.append(True)

    job(be_stopped)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run(capsys, "take", "t", "a") == (130, "stems: interrupted; run the same command to go on.\n")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert cleaned == [True]
