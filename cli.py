"""The command line: `stems <command> --help`. Every command is a typed configuration and a function of it."""

from __future__ import annotations

import argparse
import codecs
import difflib
import errno
import importlib
import io
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, get_origin

import jsonargparse
from pydantic import BaseModel, ValidationError

from cluster.own import leave
from models.errors import StemsError
from models.files.storage import storage_error


@dataclass(frozen=True)
class Command:
    """A command: where its settings and its function live (imported only when it is called).

    Args:
        help: one line for the list of commands.
        settings: ``module:class`` of a pydantic model.
        function: ``module:name`` of a function of it.
        positional: settings given without ``--``, in order; the last may be a list, which takes one or more.
            Only for a command without sub-commands.
    """

    help: str
    settings: str
    function: str
    positional: tuple[str, ...] = ()


def _upkeep(about: str, settings: str, function: str, *positional: str) -> Command:
    return Command(about, f"pipelines.upkeep.config:{settings}", f"pipelines.upkeep.{function}", positional)


COMMANDS: dict[tuple[str, ...], Command] = {
    ("demo",): Command(
        "render a band, train everything small, make and edit a song, write a report",
        "pipelines.demo.config:DemoConfig",
        "pipelines.demo.pipeline:run_demo",
    ),
    ("catalog",): Command(
        "list the songs of a source in one catalog, or say what is wrong with it (--dry_run)",
        "pipelines.catalog.config:CatalogConfig",
        "pipelines.catalog.command:write_catalog",
    ),
    ("prepare",): Command(
        "turn a catalog into a token table",
        "pipelines.tokens.config:PrepareConfig",
        "pipelines.tokens.prepare:prepare",
    ),
    ("prepare", "plan"): Command(
        "say what prepare would do, and what it would cost",
        "pipelines.tokens.config:PlanConfig",
        "pipelines.tokens.estimate:plan",
    ),
    ("prepare", "retry-quarantined"): Command(
        "try the files in a table's quarantine again",
        "pipelines.tokens.config:RetryConfig",
        "pipelines.tokens.prepare:retry_quarantined",
    ),
    ("retokenize",): Command(
        "encode kept stems anew with other codecs",
        "pipelines.tokens.config:RetokenizeConfig",
        "pipelines.tokens.retokenize:retokenize",
    ),
    ("table", "info"): _upkeep("say what a token table holds", "InfoConfig", "info:info", "table"),
    ("table", "verify"): _upkeep("check a token table's contract", "VerifyConfig", "verify:verify", "table"),
    ("table", "diff"): _upkeep("compare two token tables, song by song", "DiffConfig", "diff:diff", "a", "b"),
    ("table", "compact"): _upkeep("join a table's small files", "CompactConfig", "compact:compact", "table"),
    ("table", "vacuum"): _upkeep("delete files that no version needs", "VacuumConfig", "compact:vacuum", "table"),
    ("table", "remove"): _upkeep(
        "take songs down, never to return", "RemoveConfig", "remove:remove", "table", "songs"
    ),
    ("table", "export", "webdataset"): _upkeep(
        "write a token table as tar files", "ExportConfig", "export:export_webdataset", "table"
    ),
    ("train", "codec"): Command(
        "train the codec of one stem",
        "pipelines.training.codec.config:CodecTraining",
        "pipelines.training.codec.train_codec:train_codec",
    ),
    ("train", "lm"): Command(
        "train the language model on a token table",
        "pipelines.training.lm.config:LMTraining",
        "pipelines.training.lm.train_lm:train_lm",
    ),
    ("train", "separator"): Command(
        "train a small Demucs on known stems",
        "pipelines.training.separator.config:SeparatorTraining",
        "pipelines.training.separator.train_separator:train_separator",
    ),
    ("import",): Command(
        "bring a released model into this format",
        "models.interchange.import_command:ImportConfig",
        "models.interchange.import_command:import_model",
    ),
    ("assemble",): Command(
        "put trained parts into one model directory",
        "pipelines.composing.config:AssembleConfig",
        "pipelines.composing.assemble:assemble_model",
    ),
    ("publish",): Command(
        "register a model in MLflow, under an alias that serve takes",
        "pipelines.training.tracking.publish_config:PublishConfig",
        "pipelines.training.tracking.publish:publish",
    ),
    ("generate",): Command(
        "write a song from text", "pipelines.composing.config:GenerateConfig", "pipelines.composing.jobs:generate"
    ),
    ("edit",): Command(
        "write some stems of a song anew", "pipelines.composing.config:EditConfig", "pipelines.composing.jobs:edit"
    ),
    ("engine", "plan"): Command(
        "say what a decoding engine takes of memory, and how fast it can be",
        "pipelines.composing.config:EnginePlanConfig",
        "pipelines.composing.engine_plan:plan",
    ),
    ("serve",): Command("serve a model over HTTP", "serving.config:ServeConfig", "serving.app:run"),
    ("request", "song"): Command(
        "let a running service write a song",
        "serving.client.command:RequestSongConfig",
        "serving.client.command:song",
    ),
    ("request", "edit"): Command(
        "let a running service edit a song", "serving.client.command:RequestEditConfig", "serving.client.command:edit"
    ),
    ("request", "variation"): Command(
        "let a running service give a stem another texture",
        "serving.client.command:RequestVariationConfig",
        "serving.client.command:variation",
    ),
    ("keys", "add"): Command(
        "make an API key", "serving.config:KeyConfig", "serving.http.api_keys:add_key", ("name",)
    ),
    ("keys", "remove"): Command(
        "make an API key useless", "serving.config:KeyConfig", "serving.http.api_keys:remove_key", ("name",)
    ),
    ("keys", "list"): Command(
        "say who has an API key", "serving.config:StateConfig", "serving.http.api_keys:list_keys"
    ),
}

INTERNAL, USER_ERROR, INTERRUPTED = 1, 2, 130
_FILES_AT_FAULT = {
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: a part of it is not a folder.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.EEXIST: "Choose another place, or move what is there.",
    errno.ENOTEMPTY: "Choose another place, or move what is there.",
    errno.ELOOP: "Remove the links that lead to each other.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EACCES: "Choose a place that you may use, or change its rights.",
    errno.EPERM: "Choose a place that you may use, or change its rights.",
    errno.EROFS: "Choose a place that can be written.",
    errno.ENOSPC: "Make room there, or choose another place.",
    errno.EDQUOT: "Make room there, or choose another place.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.EIO: "Check the disk.",
}
"""What the system may refuse of a file, and what a person does about it."""

EXIT_CODES = {"too_many_errors": 3, "contract": 4}
"""Exit codes of errors by their code; of all others it is USER_ERROR."""

_ABOUT = """\
`stems COMMAND --help` explains the settings of one. With any: --config FILE.yaml reads settings from a file,
--debug shows tracebacks.

exit codes:
    0  it worked
    1  an internal error
    2  something that you can correct: a setting, a file, a cluster that is too small
    3  the job finished or stopped, but too many files failed
    4  stems table verify found a broken contract
  130  interrupted (Ctrl-C or SIGTERM): run the same command to go on"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: what each means is in `stems --help`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if argv is None:
        _in_utf8()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that cannot be written ends no job
    status = _run(list(sys.argv[1:] if argv is None else argv))
    leave(status)
    return status


def _run(argv: list[str]) -> int:
    debug = "--debug" in argv
    command = None
    try:
        with _sigterm_interrupts():
            if debug:
                for name in ("cluster", "serving"):
                    logging.getLogger(name).setLevel(logging.DEBUG)
            _check_working_directory()
            path, words = _split([word for word in argv if word != "--debug"])
            command = COMMANDS[path]
            settings: type[BaseModel] = _find(command.settings)
            config = settings(**_parse(path, words))
            _refuse_nul(config)
            function: Callable[[BaseModel], Any] = _find(command.function)
            return _show(function(config))
    except argparse.ArgumentError as error:
        return _fail(_one_line(f"{_plain(str(error), command)} See --help."), USER_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command to go on.", INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        return _report(error, command)


def _in_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale knows ASCII alone, as in bare containers.

    Prompts and names of files, in arguments and in files, would be lost or end a job otherwise.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii":
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, {**os.environ, "PYTHONUTF8": "1"})


def _refuse_nul(config: BaseModel) -> None:
    """No name may hold a NUL; a file of settings can."""
    for name, value in config:
        if isinstance(value, str) and "\0" in value:
            raise StemsError(f"--{name} holds a NUL character.", "Take it out.", field=name)


def _check_working_directory() -> None:
    """Libraries end the process with messages of their own where it is gone, some of them while they are loaded."""
    try:
        os.getcwd()  # noqa: PTH109 - as they do it
    except OSError as error:
        raise StemsError("The working directory is gone.", "Change to a directory that exists.") from error


def _report(error: Exception, command: Command | None) -> int:
    """Say what went wrong, in one line where the user can correct it."""
    if isinstance(error, ValidationError):
        for problem in error.errors(include_url=False):
            field = _flag(".".join(str(part) for part in problem["loc"]), command)
            what = f"{field} {_shown(problem['input'])}: " if problem["loc"] else ""  # several settings together
            _fail(_one_line(f"{what}{problem['msg'].removeprefix('Value error, ')}."), USER_ERROR)
        return USER_ERROR
    if isinstance(error, StemsError):
        return _fail(_one_line(str(error)), EXIT_CODES.get(error.code, USER_ERROR))
    if isinstance(error, OSError) and error.filename is not None and error.errno in _FILES_AT_FAULT:
        name = _one_line(os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename))
        return _fail(f"'{name}': {error.strerror}. {_FILES_AT_FAULT[error.errno]}", USER_ERROR)
    if isinstance(error, UnicodeEncodeError) and re.search("[\ud800-\udfff]", error.object):
        return _fail(f"{error.object[:200]!a} is not written in UTF-8. Rename it.", USER_ERROR)
    if (told := storage_error(error, getattr(error, "filename", None) or tempfile.gettempdir())) is not None:
        return _fail(_one_line(str(told)), USER_ERROR)
    return _fail(f"{type(error).__name__}: {error}\nThe whole story: add --debug.", INTERNAL)


def _shown(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 200 else f"{said[:200]}…"


def _one_line(text: str) -> str:
    """The same with marks in place of what would break the line, or could not be written at all."""
    odd = ("Cc", "Cs", "Zl", "Zp")
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in odd else c for c in text)


def _fail(message: str, status: int) -> int:
    print(f"stems: {message}", file=sys.stderr)
    return status


def _show(result: Any) -> int:
    """Print the summary of a job that has one; its own exit code, or 0."""
    if hasattr(result, "summary"):
        from rich.console import Console

        Console().print(result.summary())
    return int(getattr(result, "exit_code", 0))


class _InterruptedError(KeyboardInterrupt):
    """Python forgets an exit code after a plain KeyboardInterrupt that came while a module was imported."""


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """A scheduler's stop signal ends a job as Ctrl-C does. Only the main thread may listen to signals."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _InterruptedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _split(argv: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The command and the words after it; lists the commands, and exits, where none is named."""
    path: tuple[str, ...] = ()
    rest = argv
    while rest and _under((*path, rest[0])):
        path, rest = (*path, rest[0]), rest[1:]
    word = rest[0] if rest else "--help"
    if path in COMMANDS and (word.startswith("-") or len(_under(path)) == 1):
        return path, rest
    if word not in ("-h", "--help"):
        raise StemsError(_unknown(path, word), code="unknown")
    print(_listing(path))
    raise SystemExit(0)


def _under(path: tuple[str, ...]) -> dict[tuple[str, ...], Command]:
    """The command of this path and those whose path goes on from it."""
    return {name: command for name, command in COMMANDS.items() if name[: len(path)] == path}


def _unknown(path: tuple[str, ...], word: str) -> str:
    known = {name[i]: " ".join(name[: i + 1]) for name in _under(path) for i in range(len(path), len(name))}
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"The nearest is '{known[nearest[0]]}'." if nearest else f"See `{' '.join(('stems', *path))} --help`."
    return f"'{' '.join((*path, word))}' is not a command. {hint}"


def _listing(path: tuple[str, ...]) -> str:
    below = {" ".join(name): command.help for name, command in _under(path).items()}
    width = max(map(len, below))
    lines = [f"  {name:<{width}}  {text}" for name, text in below.items()]
    usage = f"usage: {' '.join(('stems', *path))} COMMAND ...\n"
    return "\n".join([usage, "Multi-stem music: tokens, models, service.\n", *lines, "", _ABOUT])


def _parse(path: tuple[str, ...], words: list[str]) -> dict[str, Any]:
    """The settings that were set, from the command line and from a file."""
    command, settings = COMMANDS[path], _find(COMMANDS[path].settings)
    more = [" ".join(("stems", *name)) for name in _under(path) if name != path]
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=" ".join(("stems", *path)),
        description=command.help,
        epilog=f"See also: {', '.join(more)}." if more else None,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="a YAML file of these settings")
    for name in command.positional:
        field = settings.model_fields[name]
        many = get_origin(field.annotation) in (list, tuple)
        takes: dict[str, Any] = {"nargs": "+"} if many else {}
        parser.add_argument(name, type=str, metavar=_flag(name, command), help=field.description, **takes)
    parser.add_class_arguments(settings, skip=set(command.positional))
    values: dict[str, Any] = parser.parse_args(words).as_dict()
    values.pop("config")
    return values


def _flag(name: str, command: Command | None) -> str:
    """A setting as it is given on the command line."""
    return name.upper() if command and name in command.positional else f"--{name}"


def _plain(message: str, command: Command | None) -> str:
    """One line out of a parser's message, which may quote a whole validation report."""
    key = re.search(r'Parser key "([^"]+)"', message)
    value = re.search(r"(?:Got|Given) value: (.*)$", message, re.MULTILINE)
    if key and value:
        said = re.search(r"((?:Input|String) should .*?)(?: \[type=|$)", message, re.MULTILINE)
        choices = re.search(r"Literal\[(.*?)\]", message)
        wanted = sorted(set(re.findall(r"Expected <class '(\w+)'>", message)) - {"NoneType"})
        wanted = [choices[1]] if choices else wanted
        reason = said[1] if said else "expected " + " or ".join(wanted)
        return f"{_flag(key[1], command)} {value[1]}: {reason}."
    if key and "surrogates not allowed" in message:  # bytes of the command line that are not UTF-8
        return f"{_flag(key[1], command)}: it holds characters that are not text."
    missing = re.search(r"arguments are required: (.*)", message)
    if missing:
        return f"{', '.join(_flag(name, command) for name in missing[1].split(', '))} must be given."
    return " ".join(message.split()).rstrip(".") + "."


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    sys.exit(main())
