"""`stems …`: find the command, read its settings, run it, and say how it ended."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from cli.commands import COMMANDS, Path, below
from cli.process import (
    CLOSED_PIPE,
    check_working_directory,
    forget_output,
    reader_is_gone,
    sigterm_interrupts,
    use_utf8,
    write_any_name,
    write_what_is_left,
)
from cli.reporting import INTERRUPTED, fail, report
from cli.wording import nearest, one_line
from cluster.own import leave
from models.errors import StemsError

_HELP = ("-h", "--help")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: what each means is in `stems --help`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if argv is None:
        use_utf8()
    write_any_name()
    status = _run(list(sys.argv[1:] if argv is None else argv))
    if not write_what_is_left():
        status = CLOSED_PIPE
    leave(status)
    return status


def _run(argv: list[str]) -> int:
    debug = "--debug" in argv
    try:
        with sigterm_interrupts():
            if debug:
                for name in ("cluster", "serving"):
                    logging.getLogger(name).setLevel(logging.DEBUG)
            check_working_directory()
            return _command([word for word in argv if word != "--debug"])
    except KeyboardInterrupt:
        return fail("interrupted; run the same command to go on.", INTERRUPTED)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_is_gone():
            forget_output()
            return CLOSED_PIPE
        if debug:
            raise
        return report(error)


def _command(argv: list[str]) -> int:
    if argv[:1] == ["--version"]:
        from cli.app import stems_version

        print(f"stems {stems_version()}")
        return 0
    if argv[:1] == ["--install-completion"]:
        from cli.completion import install_completion

        return install_completion(argv)
    wants_help = argv[:1] == ["help"]
    path, words = split(argv[1:] if wants_help else argv)
    options = words[: words.index("--")] if "--" in words else words
    if wants_help or path not in COMMANDS or any(word in _HELP for word in options):
        from cli.help import show_help

        show_help(path)
        return 0
    return _job(path, words)


def _job(path: Path, words: Sequence[str]) -> int:
    from cyclopts import CycloptsError

    from cli.parsing import WrongSettingsError, as_yaml, parse
    from cli.wording import wrong_settings, wrong_words

    try:
        parsed = parse(path, words)
    except CycloptsError as error:
        return fail(one_line(wrong_words(error, path, words)))
    except WrongSettingsError as error:
        return max(fail(one_line(line)) for line in wrong_settings(error))
    if parsed.print_only:
        print(as_yaml(path, parsed.settings), end="")
        return 0
    return _show(COMMANDS[path].load_function()(parsed.settings))


def split(argv: Sequence[str]) -> tuple[Path, list[str]]:
    """The command and the words after it. A path that is not a command names a group, whose help is wanted.

    Raises:
        StemsError: the words name neither.
    """
    path: Path = ()
    rest = list(argv)
    while rest and below((*path, rest[0])):
        path, rest = (*path, rest[0]), rest[1:]
    word = rest[0] if rest else "--help"
    if path in COMMANDS and (word.startswith("-") or len(below(path)) == 1):
        return path, rest
    if word not in _HELP:
        raise StemsError(*_unknown(path, word), code="unknown")
    return path, []


def _unknown(path: Path, word: str) -> tuple[str, str]:
    known = {name[i]: " ".join(name[: i + 1]) for name in below(path) for i in range(len(path), len(name))}
    if word.startswith("-"):
        known = {option: option for option in ("--help", "--version", "--install-completion")}
    near = nearest(word, known, cutoff=0.7 if word.startswith("-") else 0.5)
    hint = f"Did you mean '{known[near]}'?" if near else f"See `{' '.join(('stems', *path))} --help`."
    return f"'{' '.join((*path, word))}' is not a command.", hint


def _show(result: Any) -> int:
    """Print the summary of a job that has one; its own exit code, or 0."""
    if hasattr(result, "summary"):
        from cli.output import console

        console().print(result.summary())
    return int(getattr(result, "exit_code", 0))
