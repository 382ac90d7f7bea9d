"""Every command of README and docs is one that the command line takes, in today's notation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import cli
from cli.commands import COMMANDS
from cli.old_spellings import modern
from cli.options import options
from cli.parsing import parse
from cli.run import split

ROOT = Path(cli.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "infra").glob("*.yaml"))]
OTHERS = {"num-cpus", "working-dir"}
"""Options of Ray that the pages name."""


def typed(page: Path) -> Iterator[str]:
    """The whole command lines that a page shows in its blocks, or in a comment of a YAML file."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    if page.suffix == ".yaml":
        yield from re.findall(r"`(stems [^`]*--config [^`]*)`", text.replace("\n#", ""))
        return
    for line in text.splitlines():
        found = re.match(r"(?:\$ |    )?(?:ray job submit .*-- )?(?:stems|python -m cli) (([a-z]+) .+)", line)
        if found and any(path[0] == found[2] for path in COMMANDS):
            yield f"stems {found[1]}"


def words(line: str) -> list[str]:
    """A command line without its comment and what a shell does after it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if word[0] in "|&;>":
            break
        found.append(word)
    return found[1:]


LINES = [(page, line) for page in PAGES for line in typed(page)]


def test_the_pages_are_read() -> None:
    assert len(LINES) >= 45
    assert {page.name for page, _ in LINES} >= {"README.md", "API.md", "CATALOGS.md", "prepare.yaml", "serve.yaml"}


@pytest.mark.parametrize(("page", "line"), LINES, ids=lambda value: getattr(value, "name", value))
def test_a_documented_command_is_taken_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Path, line: str
) -> None:
    (tmp_path / "infra").symlink_to(ROOT / "infra")
    (tmp_path / "prepare.yaml").write_text("table: tokens\nseparator: separator\ncodecs: codecs\n")
    monkeypatch.chdir(tmp_path)
    path, rest = split(words(line))
    assert path in COMMANDS
    assert modern(rest, options(COMMANDS[path])) == rest, "the notation of an earlier version"
    assert not any(re.match(r"\[.*\]$", word) for word in rest), "the notation of an earlier version"
    parse(path, rest)


def test_every_option_that_a_page_names_is_one() -> None:
    known = {option.flag for command in COMMANDS.values() for option in options(command)}
    known |= {"--help", "--version", "--install-completion", "--config", "--print-config", "--debug"}
    known |= {f"--no-{flag[2:]}" for flag in known} | {f"--{name}" for name in OTHERS}
    wrong = []
    for page in PAGES:
        start = "stems " if page.name == "BENCHMARKS.md" else "stems |--"  # a bare option there is a benchmark's
        spans = re.findall(rf"`((?:{start})[^`\n]+)`", page.read_text(encoding="utf-8"))
        flags = [flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][a-z_-]*", span)]
        wrong += [f"{page.name}: {flag}" for flag in flags if flag not in known]
    assert wrong == ["README.md: --dry_run"]  # which names the earlier notation
