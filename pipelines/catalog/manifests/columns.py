"""Columns of manifests and keys of sidecars in any spelling, and a count of unread ones."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.catalog.manifests.captions import WORD_COLUMNS
from pipelines.catalog.problems import Problems

FILE_COLUMNS = ("file_name", "path")

_NEAREST = {
    "file_name": "file filepath fileid location audio audiofile audiopath audiofilepath audiofilename wav song",
    "title": "name songname songtitle track trackname tracktitle",
    "caption": "prompt transcription transcript sentence comment comments captions texts descriptions",
    "tags": "tag genre genres mood moods keyword keywords instrument instruments label labels style styles",
    "duration": "length time dur durations",
}
"""Other names of the columns that are read."""

_SAYS_NOTHING = (
    "id trackid songid index idx unnamed:0 split samplerate samplingrate sr rate channels numchannels numframes "
    "bitrate size bytes filesize md5 sha256 checksum license licence url format"
)
"""Common columns without captions."""

_SHOWN = 8


def column_key(name: str) -> str:
    """A key for all spellings of a column: ``File Name``, ``file-name`` and ``filename`` are equal."""
    return "".join(c for c in name.casefold() if c not in "_-\ufeff" and not c.isspace())


class Columns:
    """The columns that are read of a manifest, and a count of those that are not.

    Args:
        known: names of those that are read.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self._known = {column_key(name): name for name in known}
        self._names: dict[str, str | None] = {}
        self._unread: Counter[str] = Counter()
        self._place = ""

    def known(self, name: str) -> str | None:
        """The name by which a column is read; None for one that is not."""
        if name not in self._names:
            self._names[name] = self._known.get(column_key(name))
        return self._names[name]

    def read(self, values: Mapping[str, object], place: str) -> dict[str, object]:
        """Values by the names that are read. Of two columns of one name the one spelled so goes first.

        Args:
            values: by column, of one line.
            place: of the line.
        """
        found: dict[str, object] = {}
        for name, value in values.items():
            known = self.known(name)
            if known is None:
                self.pass_over(name, value, place)
            elif name == known or found.get(known) in (None, ""):
                found[known] = value
        return found

    def pass_over(self, name: str, value: object, place: str) -> None:
        """Count a column that is not read, where it holds anything and is not known to hold no words."""
        if value not in (None, "", [], {}) and (name in self._unread or not _says_nothing(name)):
            self._unread[name] += 1
            self._place = self._place or place

    def note_unread(self, problems: Problems) -> None:
        """One problem that names all columns that were not read, at the first; nothing where there was none."""
        unread = [name for name, _ in self._unread.most_common()]
        if not unread:
            return
        names = [self._shown(name) for name in unread[:_SHOWN]]
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        what = "the column {} is not read." if len(unread) == 1 else "the columns {} are not read."
        hint = f"Columns that are read are {', '.join(self._known.values())}: rename columns that mean one of these."
        problems.note(self._place, what.format(", ".join(names) + more), hint)

    def nearest(self, name: str) -> str:
        """The column that is read and that a name comes nearest to; empty where none is near."""
        key = column_key(name)
        meant = next((known for known, others in _NEAREST.items() if key in others.split()), "")
        if meant in self._known.values():
            return meant
        near = difflib.get_close_matches(key, self._known, n=1, cutoff=0.7)
        return self._known[near[0]] if near else ""

    def _shown(self, name: str) -> str:
        near = self.nearest(name)
        return f"'{name}' (nearest: '{near}')" if near else f"'{name}'"


def _says_nothing(name: str) -> bool:
    return column_key(name) in ("", *_SAYS_NOTHING.split())


def manifest_columns() -> Columns:
    """Those of a manifest with a line for each file."""
    return Columns((*FILE_COLUMNS, *WORD_COLUMNS))


def sidecar_columns() -> Columns:
    """The keys of a JSON file beside a song."""
    return Columns(WORD_COLUMNS)
