"""The command line: `stems <command> --help`. Every command is a typed configuration and a function of it."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonargparse
from pydantic import BaseModel, ValidationError

from models.errors import StemsError


@dataclass(frozen=True)
class Command:
    """A command: where its settings and its function live (imported only when it is called)."""

    help: str
    settings: str
    function: str


COMMANDS: dict[tuple[str, ...], Command] = {
    ("demo",): Command(
        "render a band, train everything small, make and edit a song, write a report",
        "pipelines.demo.config:DemoConfig",
        "pipelines.demo.road:run_demo",
    ),
    ("prepare",): Command(
        "turn a catalog into a token table",
        "pipelines.tokens.config:PrepareConfig",
        "pipelines.tokens.prepare:prepare",
    ),
    ("train", "codec"): Command(
        "train the codec of one stem",
        "pipelines.training.codec_config:CodecTraining",
        "pipelines.training.codec:train_codec",
    ),
    ("train", "lm"): Command(
        "train the language model on a token table",
        "pipelines.training.lm_config:LMTraining",
        "pipelines.training.lm:train_lm",
    ),
    ("train", "separator"): Command(
        "train a small Demucs on known stems",
        "pipelines.training.separator_config:SeparatorTraining",
        "pipelines.training.separator:train_separator",
    ),
    ("import",): Command(
        "bring a released model into this format",
        "models.interchange.importing:ImportConfig",
        "models.interchange.importing:import_model",
    ),
    ("assemble",): Command(
        "put trained parts into one model directory",
        "pipelines.composing.config:AssembleConfig",
        "pipelines.composing.assembling:assemble_model",
    ),
    ("publish",): Command(
        "register a model in MLflow, under an alias that serve takes",
        "pipelines.training.registry_config:PublishConfig",
        "pipelines.training.registry:publish",
    ),
    ("generate",): Command(
        "write a song from text", "pipelines.composing.config:GenerateConfig", "pipelines.composing.jobs:generate"
    ),
    ("edit",): Command(
        "write some stems of a song anew", "pipelines.composing.config:EditConfig", "pipelines.composing.jobs:edit"
    ),
    ("serve",): Command("serve a model over HTTP", "serving.config:ServeConfig", "serving.app:run"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 for what the user can mend, 130 when interrupted."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    try:
        path, values = _parse(argv)
        command = COMMANDS[path]
        settings: type[BaseModel] = _find(command.settings)
        config = settings(**values)
        function: Callable[[BaseModel], Any] = _find(command.function)
        _show(function(config))
    except ValidationError as error:
        if debug:
            raise
        for problem in error.errors(include_url=False):
            field = ".".join(str(part) for part in problem["loc"])
            print(f"stems: --{field} {problem['input']!r}: {problem['msg']}.", file=sys.stderr)
        return 2
    except argparse.ArgumentError as error:
        print(f"stems: {_plain(str(error))} See --help.", file=sys.stderr)
        return 2
    except StemsError as error:
        if debug:
            raise
        print(f"stems: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stems: interrupted; run the same command to go on.", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"stems: {type(error).__name__}: {error}\nThe whole story: add --debug.", file=sys.stderr)
        return 1
    return 0


def _show(result: Any) -> None:
    """Print the summary of a job that has one."""
    if hasattr(result, "summary"):
        from rich.console import Console

        Console().print(result.summary())


def _parse(argv: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Read the command line into the command's path and the values that were set."""
    parser = _parser(_Names(argv))
    if not argv:
        parser.print_help()
        raise SystemExit(0)
    values = parser.parse_args(argv).as_dict()
    path: tuple[str, ...] = ()
    while "subcommand" in values:
        path = (*path, values["subcommand"])
        values = values[values["subcommand"]]
    values.pop("config", None)
    return path, values


class _Names:
    """The words before the first option: which commands' settings are worth importing."""

    def __init__(self, argv: list[str]) -> None:
        stop = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
        self.words = tuple(argv[:stop])

    def asked(self, path: tuple[str, ...]) -> bool:
        return self.words[: len(path)] == path


def _parser(names: _Names) -> jsonargparse.ArgumentParser:
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog="stems", description="Multi-stem music: tokens, models, service.", exit_on_error=False
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    groups: dict[tuple[str, ...], Any] = {(): parser.add_subcommands(required=True, metavar="command")}
    for path, command in COMMANDS.items():
        parent = path[:-1]
        if parent not in groups:
            group = jsonargparse.ArgumentParser(description=f"{parent[-1]} a model", exit_on_error=False)
            groups[()].add_subcommand(
                parent[-1], group, help=f"{parent[-1]} a codec, the language model, a separator"
            )
            groups[parent] = group.add_subcommands(required=True, metavar="what")
        leaf = jsonargparse.ArgumentParser(description=command.help, exit_on_error=False)
        leaf.add_argument("--config", action="config", help="a YAML file of these settings")
        if names.asked(path):
            leaf.add_class_arguments(_find(command.settings))
        groups[parent].add_subcommand(path[-1], leaf, help=command.help)
    return parser


def _plain(message: str) -> str:
    """One line out of a parser's message, which may quote a whole validation report."""
    key = re.search(r'Parser key "([^"]+)"', message)
    value = re.search(r"(?:Got|Given) value: (.*)$", message, re.MULTILINE)
    if key and value:
        said = re.search(r"(Input should .*?)(?: \[type=|$)", message, re.MULTILINE)
        choices = re.search(r"Literal\[(.*?)\]", message)
        wanted = sorted(set(re.findall(r"Expected <class '(\w+)'>", message)) - {"NoneType"})
        wanted = [choices[1]] if choices else wanted
        reason = said[1] if said else "expected " + " or ".join(wanted)
        return f"--{key[1]} {value[1]}: {reason}."
    missing = re.search(r"arguments are required: (.*)", message)
    if missing:
        names = [f"--{name.rsplit('.', 1)[-1]}" for name in missing[1].split(", ")]
        return f"{', '.join(names)} must be given."
    return " ".join(message.split()).rstrip(".") + "."


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    sys.exit(main())
