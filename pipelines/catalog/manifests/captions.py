"""Title, caption, tags and length of songs, from records of any format and sidecar files."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelines.catalog.problems import Problems

CAPTION_COLUMNS = ("caption", "text", "description")
SECONDS_COLUMNS = ("duration", "seconds")
WORD_COLUMNS = ("title", *CAPTION_COLUMNS, "tags", *SECONDS_COLUMNS)


@dataclass(frozen=True, slots=True)
class Words:
    """Title, caption, tags and length in seconds of one song; each may be empty, or 0."""

    title: str = ""
    caption: str = ""
    tags: tuple[str, ...] = ()
    seconds: float = 0.0

    def over(self, other: Words) -> Words:
        """These words, and where one is empty, the other's."""
        return Words(
            self.title or other.title,
            self.caption or other.caption,
            self.tags or other.tags,
            self.seconds or other.seconds,
        )


NO_WORDS = Words()

_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), " ")
"""Characters that no text has, such as NUL, by what takes their place."""


class LineError(ValueError):
    """A bad value in a line: ``what`` is wrong, and a hint."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def words_of(values: Mapping[str, object]) -> Words:
    """Words from ``title``, ``caption``, ``text`` or ``description``, ``tags``, and ``duration`` or ``seconds``.

    Raises:
        LineError: one of them is not text, a list of text, or a number.
    """
    return Words(
        title=text_of(values, "title"),
        caption=text_of(values, *CAPTION_COLUMNS),
        tags=tags_of(values.get("tags")),
        seconds=seconds_of(values, *SECONDS_COLUMNS),
    )


def text_of(values: Mapping[str, object], *columns: str) -> str:
    """The first of these columns that is not empty, as one line of text; empty without any."""
    column = next((c for c in columns if not _is_empty(values.get(c))), columns[0])
    value = values.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise LineError(f"has a '{column}' that is not text", "Write it in quotes.")
    return one_line(value)


def tags_of(value: object) -> tuple[str, ...]:
    """Tags from a list, from one that was written as text, or from text split at commas and semicolons."""
    if value is None:
        return ()
    value = _as_list(value) if isinstance(value, str) else value
    parts = value.replace(";", ",").split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise LineError("has 'tags' that are not a list of text", 'Write ["calm", "piano"] or "calm, piano".')
    return tuple(tag for tag in map(one_line, parts) if tag)


def _as_list(text: str) -> list[object] | str:
    """The list that a table holds as Python or JSON writes it, ``['calm', 'piano']``; other text as it is."""
    if not (text.strip().startswith("[") and text.strip().endswith("]")):
        return text
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    return value if isinstance(value, list) and all(isinstance(tag, str) for tag in value) else text


def seconds_of(values: Mapping[str, object], *columns: str) -> float:
    """The first of these columns that is there, in seconds; 0 without any, and for NaN, which is a gap in pandas."""
    column = next((c for c in columns if not _is_empty(values.get(c))), columns[0])
    value = values.get(column)
    if _is_empty(value):
        return 0.0
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if seconds < 0 or math.isinf(seconds):
        raise LineError(f"has a '{column}' that is not a length", "Write seconds, as in 215.3.")
    return 0.0 if math.isnan(seconds) else seconds


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def distinct(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags without repetition, in the order of their first mention."""
    return tuple(dict.fromkeys(tags))


def one_line(text: str) -> str:
    """Text with single spaces between its words, without control characters, and "?" for what UTF-8 cannot hold."""
    return " ".join(text.translate(_CONTROL).split()).encode(errors="replace").decode()


def why_no_json(error: ValueError | RecursionError) -> str:
    """The error of ``json.loads``, in a few words."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits"


def json_object(text: str, uri: str, problems: Problems) -> Mapping[str, object]:
    """A file that is one JSON object; empty, with a fatal problem, where it is not."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        problems.bad_line(f"{uri}, line {line}", f"is not JSON ({why_no_json(error)})", "Correct or remove it.")
        return {}
    if not isinstance(values, dict):
        problems.bad_line(f"{uri}, line 1", "is not an object", 'Write {"caption": "…", "tags": ["…"]}.')
        return {}
    return values
