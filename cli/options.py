"""The options of a command, read off its settings: names, kinds, choices, bounds and defaults in plain words."""

from __future__ import annotations

import inspect
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cli.commands import Command

Kind = Literal["flag", "choice", "switch", "list", "pairs", "value"]
"""flag: --x or --no-x; switch: a flag that also takes words; pairs: NAME=VALUE; value: one word."""

_METAVARS = {int: "INTEGER", float: "NUMBER"}


@dataclass(frozen=True)
class Option:
    """One setting on the command line.

    Args:
        setting: its name in the settings, such as ``dry_run``.
        flag: as it is typed: ``--dry-run``, or ``TABLE`` where it is positional.
        kind: how its words are read.
        help: what it does, and its bounds.
        metavar: what stands for its value in help.
        choices: the words that it takes, where they are few.
        required: whether it must be given.
        nullable: whether ``null`` means none.
        default: in plain words; empty where there is nothing to say.
    """

    setting: str
    flag: str
    kind: Kind
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    nullable: bool = False
    default: str = ""

    @property
    def positional(self) -> bool:
        """Whether it is given without ``--``."""
        return not self.flag.startswith("--")


def options(command: Command) -> list[Option]:
    """The options in the order of use: positional, required, the command's own, and what it shares with others."""
    model = command.load_settings()
    names = [*command.positional, *(name for name in _by_class(model) if name not in command.positional)]
    found = [_option(name, model.model_fields[name], name in command.positional) for name in names]
    return sorted(found, key=lambda option: (not option.positional, not option.required))


def _by_class(model: type[BaseModel]) -> list[str]:
    """The settings of the most special class first."""
    bases = [base for base in model.__mro__ if issubclass(base, BaseModel)]
    said = [name for base in bases for name in inspect.get_annotations(base) if name in model.model_fields]
    return list(dict.fromkeys(said))


def _option(name: str, field: FieldInfo, positional: bool) -> Option:
    annotation, nullable = _plain(field.annotation)
    kind, choices = _kind(annotation)
    about = " ".join((field.description or "").replace("``", "").split())
    limits = _bounds(field)
    return Option(
        setting=name,
        flag=name.upper() if positional else "--" + name.replace("_", "-"),
        kind=kind,
        help=f"{about} ({limits})" if limits else about,
        metavar=_metavar(annotation, kind),
        choices=choices,
        required=field.is_required(),
        nullable=nullable,
        default="" if field.is_required() else _said(field.get_default(call_default_factory=True)),
    )


def _plain(annotation: Any) -> tuple[Any, bool]:
    """A type without what is written around it, and whether it may be None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    members = [member for member in get_args(annotation) if member is not type(None)]
    if len(members) == 1:
        return _plain(members[0])[0], True
    return annotation, len(members) < len(get_args(annotation))


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    origin = get_origin(annotation)
    if annotation is bool:
        return "flag", ()
    if origin is Literal:
        return "choice", tuple(map(str, get_args(annotation)))
    if origin in (Union, types.UnionType) and bool in get_args(annotation):
        words = [word for member in get_args(annotation) for word in get_args(member)]
        return "switch", tuple(map(str, words))
    if origin is dict:
        return "pairs", ()
    if origin in (list, tuple):
        return "list", _kind(_plain(get_args(annotation)[0])[0])[1]
    return "value", ()


def _metavar(annotation: Any, kind: Kind) -> str:
    if kind == "pairs":
        return "NAME=" + _METAVARS.get(get_args(annotation)[1], "TEXT") + "..."
    if kind != "list":
        return _METAVARS.get(annotation, "TEXT")
    items = [_METAVARS.get(_plain(item)[0], "TEXT") for item in get_args(annotation) if item is not ...]
    return " ".join(items) if len(items) > 1 else f"{items[0]}..."


def _bounds(field: FieldInfo) -> str:
    """``0 to 20``, ``at least 1``: what pydantic checks, as a person says it."""
    low = high = ""
    for mark in _marks(field):
        for name in ("ge", "gt", "le", "lt", "max_length"):
            value = getattr(mark, name, None)
            if value is None:
                continue
            number = f"{value:g}" if isinstance(value, float) or value < 10_000 else f"{value:,}"
            if name == "ge":
                low = f"at least {number}"
            elif name == "gt":
                low = f"more than {number}"
            elif name == "max_length":
                high = f"at most {number} characters"
            else:
                high = f"at most {number}" if name == "le" else f"less than {number}"
    if low.startswith("at least ") and high.startswith("at most "):
        return f"{low.removeprefix('at least ')} to {high.removeprefix('at most ')}"
    return " and ".join(filter(None, (low, high)))


def _marks(field: FieldInfo) -> list[Any]:
    """Its constraints, and those of a type that may be None."""
    marks: list[Any] = list(field.metadata)
    pending: list[Any] = [field.annotation]
    while pending:
        annotation = pending.pop()
        if get_origin(annotation) is Annotated:
            for mark in get_args(annotation)[1:]:
                marks += mark.metadata if isinstance(mark, FieldInfo) else [mark]
            pending.append(get_args(annotation)[0])
        elif get_origin(annotation) in (Union, types.UnionType):
            pending += get_args(annotation)
    return marks


def _said(value: object) -> str:
    if value is None or value == "" or value == [] or value == () or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
