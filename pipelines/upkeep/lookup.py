"""Find songs by an id, an address, a file's name or a title."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

from models.errors import StemsError
from pipelines.catalog.manifests.names import loose_name, normal_name
from pipelines.catalog.schema import entry_from_json
from pipelines.catalog.storage.addresses import local_name
from pipelines.catalog.storage.files import absolute, is_remote, local_uri
from pipelines.catalog.storage.http import is_http
from pipelines.table.schema import RemovedRow
from pipelines.table.token_table import TokenTable

Spelling: TypeAlias = Callable[[str], str]
"""Maps spellings of one name to the same text."""

_PREFIX = 6
_CANDIDATES = 10
UNHEARD = "file:"
"""Begins the id of a file that was never decoded; its fingerprint follows."""


@dataclass
class SongRecord:
    """What a table's rows say of one song.

    Attributes:
        song_id: hash of its sound; :data:`UNHEARD` and a fingerprint where that is not known.
        uris: addresses of its files, and of those with the same audio.
        fingerprints: fingerprints of these files.
        titles: titles that rows give it.
        removed: the record of its takedown, or None.
    """

    song_id: str
    uris: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)
    titles: set[str] = field(default_factory=set)
    removed: RemovedRow | None = None

    @property
    def title(self) -> str:
        """One of its titles, always the same one; empty where it has none."""
        return next(iter(sorted(self.titles)), "")

    def lies_at(self, place: str, spelled: Spelling) -> bool:
        """Whether one of its files has this address."""
        return spelled(place) in {spelled(uri) for uri in self.uris}

    def called(self, name: str, spelled: Spelling) -> bool:
        """Whether a title, or a file's name with or without its ending, is this one."""
        files = {normal_name(_path(uri)).rpartition("/")[2] for uri in self.uris}
        names = self.titles | files | {file.rpartition(".")[0] for file in files}
        return spelled(name) in map(spelled, names)

    def __str__(self) -> str:
        where = f", {min(self.uris)}" if self.uris else ""
        return f"{self.song_id} '{self.title}'{where}{' (taken down)' if self.removed else ''}"


class Lookup:
    """The songs of a table, and those that were taken down."""

    def __init__(self, table: TokenTable) -> None:
        mentions = list(_mentions(table))
        # One table may know a file only by its fingerprint or address, and another one by its sound.
        song_of = {name: song for song, print_, uri, _ in mentions for name in (print_, uri) if song and name}
        self._songs: dict[str, SongRecord] = {}
        for row in _removed(table):
            song_of |= dict.fromkeys((*row.fingerprints, *row.uris), row.song_id)
            self._songs[row.song_id] = SongRecord(
                row.song_id, set(row.uris), set(row.fingerprints), {row.title} - {""}, row
            )
        for song, print_, uri, title in mentions:
            known = song or song_of.get(print_) or song_of.get(uri)
            self._note(known or f"{UNHEARD}{print_}", print_, uri, title)

    def find(self, names: Iterable[str]) -> list[SongRecord]:
        """The songs with these names, each once, in the order of the names.

        Raises:
            StemsError: a name that no song has, or that several have, with those.
        """
        return list({song.song_id: song for song in map(self._find_one, names)}.values())

    def _find_one(self, name: str) -> SongRecord:
        for found in self._readings(name):
            if len(found) > 1:
                listed = "".join(f"\n  {song}" for song in found[:_CANDIDATES])
                more = f"\n  and {len(found) - _CANDIDATES} more" if len(found) > _CANDIDATES else ""
                raise StemsError(
                    f"'{name}' may be any of {len(found)} songs:{listed}{more}\n",
                    "Give the id of the one you mean.",
                    code="ambiguous",
                    field="songs",
                )
            if found:
                return found[0]
        raise StemsError(
            f"There is no song '{name}' in this table.",
            f"Give an id or its first {_PREFIX} digits, the address of its file, its file's name, or its title.",
            code="missing",
            field="songs",
        )

    def _readings(self, name: str) -> Iterator[list[SongRecord]]:
        """Songs that a name may mean, by ever looser comparisons."""
        songs = sorted(self._songs.values(), key=lambda song: song.song_id)
        yield [song for song in songs if song.song_id == name]
        places = {name} if is_remote(name) else {name, local_uri(absolute(name))}
        yield [song for song in songs if song.uris & places]
        yield [song for song in songs if any(song.lies_at(place, normal_name) for place in places)]
        if len(name) >= _PREFIX:
            yield [song for song in songs if song.song_id.startswith(name)]
        for spelled in (normal_name, loose_name):
            yield [song for song in songs if song.called(name, spelled)]

    def _note(self, song_id: str, fingerprint: str, uri: str, title: str) -> None:
        song = self._songs.setdefault(song_id, SongRecord(song_id))
        for kept, value in ((song.fingerprints, fingerprint), (song.uris, uri), (song.titles, title)):
            if value:
                kept.add(value)


def _path(uri: str) -> str:
    """An address with percent signs decoded, for the name at its end."""
    return unquote(uri).rstrip("/") if is_http(uri) else local_name(uri).rstrip("/")


def _mentions(table: TokenTable) -> Iterator[tuple[str, str, str, str]]:
    """Song, fingerprint, uri and title, empty where they are not known, of each row that names a song or a file."""
    for fingerprint, song, text in _columns(table, "catalog", ("fingerprint", "song_id", "entry")):
        entry = entry_from_json(text)
        yield song, fingerprint, entry.uri, entry.title
        for uri in (uri for stem in entry.stems for uri in stem.uris):
            yield song, fingerprint, uri, ""
    for name in ("tokens", "dropped"):
        yield from _columns(table, name, ("song_id", "fingerprint", "uri", "title"))
    for song, fingerprint, uri in _columns(table, "quarantine", ("song_id", "fingerprint", "uri")):
        yield song, fingerprint, uri, ""
    for (song,) in _columns(table, "stems", ("song_id",)):
        yield song, "", "", ""


def _columns(table: TokenTable, name: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    rows = table.read(name, columns)
    return zip(*(rows[column].to_pylist() for column in columns), strict=True)


def _removed(table: TokenTable) -> Iterator[RemovedRow]:
    for row in table.removed().to_pylist():
        yield RemovedRow(**{**row, "uris": tuple(row["uris"]), "fingerprints": tuple(row["fingerprints"])})
