"""From the words of an option to the plain value that its setting checks: text, lists of text, true or false."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli.options import Option

if TYPE_CHECKING:
    from cyclopts import Token


def value_of(option: Option, tokens: Sequence[Token]) -> Any:
    """What was typed for an option."""
    from cyclopts.utils import UNSET

    last = tokens[-1]
    if last.implicit_value is not UNSET:  # a flag, or a list of nothing
        return last.implicit_value
    if option.nullable and last.value == "null":
        return None
    words = [token.value for token in tokens if token.implicit_value is UNSET]
    if option.kind == "list":
        return words if option.positional else [item for word in words for item in _items(word)]
    if option.kind == "pairs":
        return {name: value for word in words for name, value in _pairs(word)}
    return last.value


def _items(word: str) -> list[Any]:
    """``[bass, drums]`` -> ``["bass", "drums"]``; any other word is one item."""
    inside = _flow(word, "[]", list)
    return [word] if inside is None else inside


def _pairs(word: str) -> list[tuple[str, Any]]:
    """``gpu=1`` or ``{gpu: 1}`` -> ``[("gpu", "1")]``."""
    inside = _flow(word, "{}", dict)
    if inside is not None:
        return list(inside.items())
    name, _, value = word.partition("=")
    return [(name, value)]


def _flow(word: str, brackets: str, kind: type) -> Any:
    """A list or mapping in YAML's brackets, the notation of version 0.1; None for another word."""
    if not (word.startswith(brackets[0]) and word.endswith(brackets[1])):
        return None
    import yaml

    try:
        inside = yaml.load(word, Loader=yaml.BaseLoader)  # it makes nothing but text
    except yaml.YAMLError:
        return None
    return inside if isinstance(inside, kind) else None
