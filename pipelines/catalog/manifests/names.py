"""One spelling of file names, by which manifests, sidecars and takedowns find the files that they mean."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath
from typing import Generic, TypeVar

V = TypeVar("V")

_DRIVE = re.compile(r"/?[A-Za-z]:/")


def normal_name(name: str) -> str:
    """One spelling of a file name: NFC (file systems differ on accents), ``/``, no ``./`` in front."""
    name = unicodedata.normalize("NFC", name.strip())
    if "://" in name:
        return name
    name = name.replace("\\", "/").removesuffix("/")
    if "//" not in name and "./" not in name:  # as good as always, and pathlib takes its time
        return name
    return str(PurePosixPath(name))


def loose_name(name: str) -> str:
    """A name without what people and systems change in it: case, the width of letters, the kind of blanks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", " ".join(normal_name(name).split())).casefold())


def is_absolute(name: str) -> bool:
    """Whether a name in its :func:`normal_name` begins at a root, of this machine or of a Windows one."""
    return name.startswith("/") or _DRIVE.match(name) is not None


class NameIndex(Generic[V]):
    """Values by file name. A name that nothing is spelled as finds what is spelled almost so.

    Of two forms of Unicode the same letters are meant. A difference in case counts only where it leaves one name.
    """

    def __init__(self, items: Iterable[tuple[str, V]]) -> None:
        self._items = list(items)

    def find(self, name: str) -> list[V]:
        """What goes by this name: several values where several were put in under it; none where there is none."""
        found = self._as_spelled.get(name) or self._normal.get(normal_name(name))
        if found:
            return found
        spellings = self._loose.get(loose_name(name), set())
        return self._normal[next(iter(spellings))] if len(spellings) == 1 else []

    def alike(self, name: str) -> list[V]:
        """Everything whose name differs in its spelling alone."""
        spellings = self._loose.get(loose_name(name), set())
        return [value for spelling in sorted(spellings) for value in self._normal[spelling]]

    @cached_property
    def _as_spelled(self) -> dict[str, list[V]]:
        found: dict[str, list[V]] = defaultdict(list)
        for name, value in self._items:
            found[name].append(value)
        return dict(found)

    @cached_property
    def _normal(self) -> dict[str, list[V]]:
        found: dict[str, list[V]] = defaultdict(list)
        for name, value in self._items:
            found[normal_name(name)].append(value)
        return dict(found)

    @cached_property
    def _loose(self) -> dict[str, set[str]]:
        """Normal names by loose ones."""
        found: dict[str, set[str]] = defaultdict(set)
        for name in self._normal:
            found[loose_name(name)].add(name)
        return dict(found)
