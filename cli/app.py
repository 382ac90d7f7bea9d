"""The parser of a command, built with cyclopts from its options. It sorts words; pydantic checks what they say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from cli.commands import COMMANDS, Command, Path
from cli.options import Option, options

if TYPE_CHECKING:
    from cyclopts import ArgumentCollection, Token

_REPEATED = Parameter(allow_repeating=True, negative_iterable=())
"""Lists are given by one --x with several words, or by several --x. Of other options the last one counts."""

Typed = dict[str, list["Token"]]
"""The words of a command line, by the setting that they belong to."""

GENERAL = (
    Option("config", "--config", "list", "YAML file of these settings; the command line wins.", "FILE"),
    Option("print_config", "--print-config", "flag", "Print all settings as YAML and stop."),
    Option("debug", "--debug", "flag", "Show tracebacks, and log more."),
)
"""Options that every command has beside its settings."""


def sort_words(path: Path, words: Sequence[str]) -> Typed:
    """Find the option that each word belongs to.

    Raises:
        CycloptsError: an option is unknown, or lacks its value, or a word belongs to none.
    """
    typed: Typed = {}

    def collect(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        for argument in arguments:
            if argument.tokens:
                typed[argument.field_info.name] = list(argument.tokens)
                argument.tokens.clear()  # nothing is left for cyclopts to convert

    app = command_app(path, all_optional=True)
    app.config = (collect,)
    app(list(words), result_action="return_value")
    return typed


def command_app(path: Path, all_optional: bool = False) -> App:
    """The parser of one command; with ``all_optional`` it leaves it to pydantic to say what is missing."""
    app = App(
        " ".join(("stems", *path)),
        help=_sentence(COMMANDS[path]),
        help_format="plaintext",
        help_flags=[],
        version_flags=[],
        default_parameter=_REPEATED,
        exit_on_error=False,
        print_error=False,
    )
    app.default(_function(COMMANDS[path], all_optional))
    return app


def whole_app() -> App:
    """All commands in one tree, for shell completion."""
    root = App("stems", version=stems_version(), help_format="plaintext", default_parameter=_REPEATED)
    nodes: dict[Path, App] = {(): root}
    for path in COMMANDS:
        for depth in range(1, len(path) + 1):
            part = path[:depth]
            if part not in nodes:
                command = COMMANDS.get(part)
                nodes[part] = App(part[-1], help=_sentence(command) if command else "", version_flags=[])
                if command:
                    nodes[part].default(_function(command, all_optional=True))
                nodes[part[:-1]].command(nodes[part])
    root.register_install_completion_command(help="Install shell completion.")
    return root


def stems_version() -> str:
    """The version of the installed package."""
    try:
        return version("musicgen-stem-ray")
    except PackageNotFoundError:  # in a job that was submitted with its sources alone
        return "of this directory (not installed)"


def _function(command: Command, all_optional: bool) -> Callable[..., None]:
    """A function whose signature is the command's options, in order."""

    def run(*args: object, **kwargs: object) -> None:
        """Do nothing: the words are collected before it is called."""

    own, general = Group("Options", sort_key=1), Group("General", sort_key=2)
    parameters = [_parameter(one, all_optional, own) for one in options(command)]
    parameters += [_parameter(one, all_optional, general) for one in GENERAL]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _parameter(option: Option, all_optional: bool, group: Group) -> inspect.Parameter:
    takes, stand_in = _takes(option)
    required = option.required and not all_optional
    default = inspect.Parameter.empty if required else stand_in
    if option.positional:
        about = Parameter(help=option.help, required=required or None)
        if option.kind == "list":
            return inspect.Parameter(
                option.setting, inspect.Parameter.VAR_POSITIONAL, annotation=Annotated[takes, about]
            )
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Parameter(option.setting, kind, annotation=Annotated[takes, about], default=default)
    say: Any = (lambda _: option.default) if option.default else False
    about = Parameter(
        name=option.flag,
        help=option.help,
        group=group,
        metavar=None if option.choices or option.kind == "flag" else option.metavar,
        required=required or None,
        show_default=say,
        negative=() if option in GENERAL else None,
        consume_multiple=option not in GENERAL,
    )
    return inspect.Parameter(
        option.setting, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[takes, about], default=default
    )


def _takes(option: Option) -> tuple[Any, Any]:
    """The type by which cyclopts counts an option's words and lists its choices, and a value of it."""
    if option.kind == "flag":
        return bool, False
    if option.kind == "switch":
        return bool | Literal[option.choices], False
    one: Any = Literal[option.choices] if option.choices else str
    if option.kind in ("list", "pairs") and not option.positional:
        return list[one], []
    return one, next(iter(option.choices), "")


def _sentence(command: Command) -> str:
    return f"{command.help[0].upper()}{command.help[1:]}."
