"""Spellings of version 0.1 that this version still takes, and the next one will not.

``--dry_run`` for ``--dry-run``, ``--dry-run true`` and ``--dry-run false`` for a flag, ``--exact`` for ``--keep``.
Lists in brackets (``'[bass, drums]'``) are read in ``cli.values``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cli.options import Option

_UNDERSCORED = re.compile(r"--[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?=[=.]|$)")
_TRUTHS = {"true": True, "false": False}


def modern(words: Sequence[str], known: Sequence[Option]) -> list[str]:
    """The same command line as one types it today."""
    flags = {option.flag for option in known if option.kind == "flag"}
    keeps = any(option.flag == "--keep" for option in known)
    result: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        if _UNDERSCORED.match(word):
            name, equals, value = word.partition("=")
            word = name.replace("_", "-") + equals + value
        name, _, value = word.partition("=")
        if keeps and name in ("--exact", "--no-exact"):
            exact = _TRUTHS.get(value.lower() or _truth(rest) or "true", True) == (name == "--exact")
            result += ["--keep", "exact" if exact else "free"]
        elif word in flags and (truth := _truth(rest)):
            result.append(f"{word}={truth}")
        else:
            result.append(word)
    return result


def _truth(rest: list[str]) -> str:
    """The next word, taken, where it says true or false."""
    return rest.pop(0).lower() if rest and rest[0].lower() in _TRUTHS else ""
