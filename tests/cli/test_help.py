"""Help, version and completion, on terminals wide and narrow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.take_songs import Run

import cli
from cli.commands import GROUPS, Command
from cli.options import options
from cli.reporting import EXIT_CODES

ROOT = Path(cli.__file__).parents[1]


@pytest.mark.parametrize("path", cli.COMMANDS, ids=" ".join)
def test_a_command_has_settings_a_function_and_help(path: tuple[str, ...]) -> None:
    command = cli.COMMANDS[path]
    found = options(command)
    assert found
    assert [option.flag for option in found if not option.help] == []
    assert set(command.positional) <= {option.setting for option in found}
    assert callable(command.load_function())
    assert command.help
    assert command.group in GROUPS


@pytest.mark.parametrize("path", cli.COMMANDS, ids=" ".join)
def test_help_is_in_plain_words(run: Run, path: tuple[str, ...]) -> None:
    status, out, _ = run(*path, "--help")
    assert status == 0
    for odd in (
        "Annotated",
        "Literal",
        "Optional",
        "Ge(",
        "null",
        "None",
        "typing",
        "_",
        "Union",
        "validation error",
    ):
        assert odd not in re.sub(r"(whsec|AWS|STEMS_API)_\S*|encodec_32khz", "", out), odd


@pytest.mark.parametrize("path", cli.COMMANDS, ids=" ".join)
def test_what_must_be_given_stands_first(path: tuple[str, ...]) -> None:
    required = [option.required for option in options(cli.COMMANDS[path]) if not option.positional]
    assert required == sorted(required, reverse=True)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_and_every_exit_code(run: Run, words: list[str]) -> None:
    status, out, _ = run(*words)
    assert status == 0
    for path in cli.COMMANDS:
        assert re.search(rf"^│ {' '.join(path)}  ", out, re.MULTILINE)
    for code in (0, 1, 2, 3, 4, 130):
        assert f"\n{code:5}  " in out
    assert set(EXIT_CODES.values()) == {3, 4}
    assert [out.index(f"─ {group} ─") for group in GROUPS] == sorted(out.index(f"─ {group} ─") for group in GROUPS)


@pytest.mark.parametrize("words", [["train"], ["train", "--help"], ["train", "-h"], ["help", "train"]])
def test_a_group_lists_its_commands_alone(run: Run, words: list[str]) -> None:
    _, out, _ = run(*words)
    assert out.startswith("Usage: stems train COMMAND ...")
    assert re.findall(r"^│ (\S+ \S+)", out, re.MULTILINE) == ["train codec", "train lm", "train separator"]


@pytest.mark.parametrize("words", [["take", "--help"], ["help", "take"], ["take", "t", "-h", "--nonsense"]])
def test_help_of_a_command_explains_its_settings(run: Run, job: object, words: list[str]) -> None:
    status, out, _ = run(*words)
    assert status == 0
    assert out.startswith("Usage: stems take [OPTIONS] TABLE SONGS...")
    text = " ".join(out.replace("│", " ").split())
    for said in (
        "* TABLE Folder of the table. [required]",
        "--reason TEXT Why.",
        "--dry-run --no-dry-run Only say what would be taken. [default: no]",
        "--kinds CHOICE... Kinds of files. [choices: flac, wav] [default: flac]",
        "--sizes INTEGER... Sizes of the parts.",
        "--share NUMBER Share to take. (at least 0 and less than 1) [default: 0.5]",
        "--room NAME=NUMBER... Room on each shelf.",
        "--config FILE",
    ):
        assert said in text
    assert "--table" not in out


def test_a_command_with_sub_commands_names_them(run: Run, job: object) -> None:
    assert "See also: stems shelve plan." in run("shelve", "--help")[1]
    assert run("shelve", "plan", "--help")[1].startswith("Usage: stems shelve plan")


def test_the_version_is_said(run: Run) -> None:
    assert re.fullmatch(r"stems \d+\.\d+\.\d+\n", run("--version")[1])


def stems(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", "cli", *words], env=settings, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_fits_a_narrow_terminal_without_colours() -> None:
    done = stems("edit", "--help", COLUMNS="40", NO_COLOR="1", FORCE_COLOR="1", TERM="xterm")
    assert done.returncode == 0
    assert "\x1b[3" not in done.stdout
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in done.stdout.splitlines()) <= 40


def test_help_may_be_read_without_unicode() -> None:
    done = stems("edit", "--help", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "--regenerate" in done.stdout


def test_the_shell_completes_commands_options_and_choices(tmp_path: Path) -> None:
    done = stems("--install-completion", "--shell", "bash", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    script = tmp_path / ".local/share/bash-completion/completions/stems"
    assert str(script) in (tmp_path / ".bashrc").read_text()

    def completed(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        ask = f'source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _stems; echo "${{COMPREPLY[@]}}"'
        shell = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=60, check=True)
        return set(shell.stdout.split())

    assert {"generate", "edit", "train"} <= completed("stems", "")
    assert completed("stems", "train", "") >= {"codec", "lm", "separator"}
    assert completed("stems", "edit", "--reg") == {"--regenerate", "--region"}
    assert completed("stems", "edit", "--precision", "") >= {"float32", "bfloat16", "int8"}


def test_a_shell_that_is_not_known_is_named_in_one_line() -> None:
    done = stems("--install-completion", "--shell", "tcsh")
    assert done.returncode == 2
    assert done.stderr.startswith("stems: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_command_is_one_entry_of_a_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Command(GROUPS[1], "list keys once more", "serving.config:StateConfig", "serving.http.api_keys:list_keys")
    monkeypatch.setitem(cli.COMMANDS, ("sing",), entry)
    assert "list keys once more" in run("--help")[1]
    assert "--state" in run("sing", "--help")[1]
