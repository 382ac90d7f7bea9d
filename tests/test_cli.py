"""What a person sees at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import cli


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = cli.main(list(words))
    return status, capsys.readouterr().err


def test_every_command_has_settings_and_a_function() -> None:
    for command in cli.COMMANDS.values():
        assert cli._find(command.settings).model_fields
        assert callable(cli._find(command.function))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate"], "--model must be given"),
        (["generate", "--model", "x", "--seconds", "-3"], "--seconds -3: Input should be greater than 0"),
        (["generate", "--model", "x", "--secondz", "3"], "--secondz"),
        (["generate", "--model", "x", "--seed", "a"], "--seed a: expected int"),
        (["train", "lm", "--table", "t", "--codecs", "c", "--preset", "huge"], "'tiny', 'small'"),
        (["trian"], "'train'"),
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
    path, values = cli._parse(["generate", "--config", str(file), "--seconds", "5"])
    assert path == ("generate",)
    assert (values["model"], values["prompt"], values["seconds"]) == ("m", "slow", 5.0)


def test_an_unknown_setting_in_a_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "song.yaml"
    file.write_text(yaml.safe_dump({"model": "m", "secs": 4.0}))
    status, message = run(capsys, "generate", "--config", str(file))
    assert status == 2
    assert "secs" in message


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    for path in cli.COMMANDS:
        assert path[0] in out
