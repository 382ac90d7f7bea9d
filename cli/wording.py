"""One plain line for each thing that is wrong with a command line: it names the setting and how to fix it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cli.commands import COMMANDS, Path
from cli.options import Option, options
from cli.parsing import WrongSettingsError

if TYPE_CHECKING:
    from cyclopts import CycloptsError

_FIXES = {
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "int_type": "give a whole number",
    "int_parsing_size": "give a smaller number",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "finite_number": "give a finite number",
    "bool_parsing": "say true or false",
    "bool_type": "say true or false",
    "greater_than_equal": "give at least {ge}",
    "greater_than": "give more than {gt}",
    "less_than_equal": "give at most {le}",
    "less_than": "give less than {lt}",
    "string_too_long": "give at most {max_length} characters",
    "string_too_short": "it may not be empty",
    "string_type": "give text (in a YAML file, put it in quotes)",
    "string_unicode": "it holds characters that are not text",
    "list_type": "give a list",
    "tuple_type": "give a list",
    "dict_type": "give NAME=VALUE",
}
"""How to fix what pydantic finds, by its names for kinds of errors."""


def wrong_settings(wrong: WrongSettingsError) -> Iterator[str]:
    """A line for each setting that is missing, unknown or out of bounds."""
    known = {option.setting: option for option in options(COMMANDS[wrong.path])}
    problems = wrong.error.errors(include_url=False)
    missing = [known[str(problem["loc"][0])].flag for problem in problems if _is_missing(problem)]
    if missing:
        yield f"{', '.join(missing)} must be given. See {_help(wrong.path)}."
    named: set[object] = set()
    for problem in problems:
        setting = problem["loc"][0] if problem["loc"] else None
        if _is_missing(problem) or (setting in named and setting is not None):
            continue
        named.add(setting)
        file = wrong.files.get(str(setting))
        where = f" (in {file})" if file else ""
        if problem["type"] == "extra_forbidden":
            near = nearest(str(setting), known)
            yield f"There is no setting '{setting}' of {_name(wrong.path)}{where}. {_hint(near, wrong.path)}"
        elif setting in known:
            option = known[str(setting)]
            yield _ended(f"{option.flag} {_given(problem, option)}{where}: {_fix(problem, option)}")
        else:
            yield _ended(_fix(problem, None))


def wrong_words(error: CycloptsError, path: Path, words: Sequence[str]) -> str:
    """A line for what the parser could not sort."""
    from cyclopts import CoercionError, MissingArgumentError, UnknownOptionError, UnusedCliTokensError

    known = options(COMMANDS[path])
    if isinstance(error, UnknownOptionError):
        word = (error.token.keyword or error.token.value).partition("=")[0]
        for option in known:
            if option.positional and word.lower() == f"--{option.setting}":
                return f"{option.flag} is given without {word}. See {_help(path)}."
        flags = [*(option.flag for option in known if not option.positional), "--config", "--help"]
        negatives = [f"--no-{option.setting}".replace("_", "-") for option in known if option.kind == "flag"]
        return f"{word} is not an option of {_name(path)}. {_hint(nearest(word, [*flags, *negatives]), path)}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        flag = error.keyword or error.argument.name
        following = words[words.index(flag) + 1 :][:1] if flag in words else []
        if following and following[0].startswith("-") and not following[0].startswith("--"):
            return f"{flag} needs a value. One that begins with a dash is written as {flag}={following[0]}."
        return f"{flag} needs a value. See {_help(path)}."
    if isinstance(error, CoercionError) and error.token is not None:
        return f"{error.token.keyword}={error.token.value}: leave the value out, or say true or false."
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"'{error.unused_tokens[0]}' belongs to no option of {_name(path)}. See {_help(path)}."
    return f"{' '.join(str(error).split()).rstrip('.')}. See {_help(path)}."


def one_line(text: str) -> str:
    """The same with marks in place of what would break the line, or could not be written at all."""
    odd = ("Cc", "Cs", "Zl", "Zp")
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in odd else c for c in text)


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that is most like another; empty where none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def _given(problem: Any, option: Option) -> str:
    """The value at fault as it is typed, cut where it is long."""
    value = problem["input"]
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if option.kind == "pairs" and len(problem["loc"]) == 2:
        text = f"{problem['loc'][1]}={text}"
    if not text or (isinstance(value, str) and re.search(r"\s", text)):
        text = f"'{text}'"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(("?", ".")) else f"{sentence}."


def _is_missing(problem: Any) -> bool:
    return problem["type"] == "missing" and len(problem["loc"]) == 1


def _fix(problem: Any, option: Option | None) -> str:
    if option and option.choices:
        words = [*option.choices, *(("true", "false") if option.kind == "switch" else ())]
        near = nearest(str(problem["input"]), words)
        return f"choose {', '.join(words[:-1])} or {words[-1]}" + (f". Did you mean {near}?" if near else "")
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"]).rstrip(".")
    if problem["type"] == "string_pattern_mismatch" and option:
        return f"it does not fit. {option.help}".rstrip(".")
    fix = _FIXES.get(problem["type"])
    if fix:
        return fix.format(**{name: _number(value) for name, value in problem.get("ctx", {}).items()})
    return str(problem["msg"]).rstrip(".")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _hint(near: str, path: Path) -> str:
    return f"Did you mean {near}?" if near else f"See {_help(path)}."


def _name(path: Path) -> str:
    return f"`{' '.join(('stems', *path))}`"


def _help(path: Path) -> str:
    return f"`{' '.join(('stems', *path))} --help`"
