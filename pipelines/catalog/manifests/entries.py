"""Turn names in a manifest into entries: resolve each file, check access, get its size."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from models.audio.formats import is_audio_name, listed_suffixes
from models.errors import StemsError
from pipelines.catalog.manifests.captions import LineError, Words, one_line
from pipelines.catalog.manifests.finding import Finder
from pipelines.catalog.manifests.names import normal_name
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry, fingerprint
from pipelines.catalog.source import Source, suffix
from pipelines.catalog.storage.addresses import MISSING, SourceFile, absolute, is_remote, local_uri
from pipelines.catalog.storage.files import describe_all
from pipelines.catalog.storage.http import check_host, is_http
from pipelines.catalog.storage.stores import check_scheme


@dataclass(frozen=True, slots=True)
class Named:
    """A file as named in a manifest, its title, caption and tags, and the line."""

    name: str
    words: Words
    place: str


def entries_of(named: Iterable[Named], source: Source) -> list[CatalogEntry]:
    """The files as entries, in their order, each once; names that may not be followed become problems.

    A name that leads to no file is looked up in another spelling, see :class:`Finder`.

    Raises:
        Unreachable: the store or host does not answer.
    """
    by_uri: dict[str, Named] = {}
    refused: set[str] = set()  # one problem per host, not per song
    for song in named:
        try:
            uri = resolve(song.name, source)
        except LineError as error:
            source.problems.bad_line(song.place, error.what, error.hint)
            continue
        except StemsError as error:
            if error.hint not in refused:
                source.problems.fatal(error)
            refused.add(error.hint)
            continue
        note_named_before(song, by_uri.setdefault(uri, song), source.problems)
    files = describe_all(list(by_uri), source.allow_hosts)
    found = _spelled_otherwise(list(zip(files, by_uri.values(), strict=True)), source)
    return [entry_of(file, song.words, source.problems, song.place) for file, song in found]


def note_named_before(song: Named, first: Named, problems: Problems) -> bool:
    """Whether another line named this file first; if so, adds a note."""
    if first is song:
        return False
    problems.note(song.place, f"'{song.name}' was already named at {first.place}; it is read once.", "Remove one.")
    return True


def _spelled_otherwise(
    described: Sequence[tuple[SourceFile, Named]], source: Source
) -> list[tuple[SourceFile, Named]]:
    """The same, where files that are missing have been looked for under other spellings of their names."""
    finder = Finder(source)
    found = {song.name: finder.find(song.name) for file, song in described if file.stamp == MISSING}
    instead = {name: other for name, other in found.items() if other}
    if not instead:
        return list(described)
    files = dict(zip(instead, describe_all([o.uri for o in instead.values()], source.allow_hosts), strict=True))
    by_uri: dict[str, Named] = {}
    kept = []
    for file, song in described:
        file = files.get(song.name, file) if file.stamp == MISSING else file
        if not note_named_before(song, by_uri.setdefault(file.uri, song), source.problems):
            kept.append((file, song))
    note_ends([(song.name, file) for file, song in kept if (o := found.get(song.name)) and o.by_its_end], source)
    return kept


def note_ends(matched: Sequence[tuple[str, SourceFile]], source: Source) -> None:
    """One problem for all files found by the end of another machine's path."""
    if matched:
        name, file = matched[0]
        count = f"{len(matched)} files are named" if len(matched) > 1 else "a file is named"
        source.problems.note(
            source.manifest or source.path,
            f"{count} by a path of another machine, and found by the end of it: '{name}' is '{file.uri}'.",
            "Check that this is right, or use names relative to the manifest.",
        )


def resolve(name: str, source: Source) -> str:
    """Where a file is that a manifest names: by its address, or relative to the source's folder.

    A manifest on this machine may name any file of it; one from elsewhere only what lies in the source's folder.

    Raises:
        LineError: the name is invalid, or leads to a forbidden place. StemsError: the host is not allowed.
    """
    name, folder = name.strip(), source.folder
    if not name or "\0" in name or not _encodes(name):
        raise LineError("has an invalid file name", "Correct or remove the line.")
    if is_remote(name) or (is_remote(folder) and not name.startswith(("/", "file://", "~/"))):
        return _remote(name, folder, source)
    if name.startswith("~/"):
        name = str(Path(name).expanduser())
    path = absolute(name if name.startswith(("/", "file://")) else f"{folder}/{name}")
    if is_remote(source.manifest) and (is_remote(folder) or not path.startswith(f"{absolute(folder)}/")):
        raise LineError(
            f"names '{name}', a file of this machine, but the manifest is remote",
            "Name files relative to the manifest, or by their s3:// or https:// address.",
        )
    return local_uri(path)


def _remote(name: str, folder: str, source: Source) -> str:
    if is_http(name) or (not is_remote(name) and is_http(folder)):
        uri = name if is_http(name) else f"{folder}/{quote(name)}"
        try:
            check_host(uri, source.allow_hosts)
        except StemsError as error:
            if error.code == "host":
                raise
            raise LineError(f"names '{name}', which is not an address", error.hint) from error
        return uri
    uri = name if is_remote(name) else f"{folder.rstrip('/')}/{name}"
    try:
        check_scheme(uri)
    except StemsError as error:
        raise LineError(f"names '{name}', an unsupported kind of address", error.hint) from error
    scheme, _, path = uri.partition("://")
    inside = posixpath.normpath(path) if "/../" in path or "/./" in path else path
    if path.lstrip("/").split("/")[0] != inside.lstrip("/").split("/")[0]:
        raise LineError(f"names '{name}', which leads out of its bucket", "Name the bucket.")
    return f"{scheme}://{inside}"


def _encodes(name: str) -> bool:
    try:
        name.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def entry_of(file: SourceFile, words: Words, problems: Problems, place: str = "") -> CatalogEntry:
    """An entry for a file of one song; what is wrong with the file is noted, at ``place``."""
    check_file(file, problems, place)
    return CatalogEntry(
        uri=file.uri,
        fingerprint=fingerprint(file.uri, file.size, file.stamp),
        title=words.title or title_of(file.name),
        caption=words.caption,
        tags=words.tags,
        size=file.size,
        seconds=words.seconds,
    )


def check_file(file: SourceFile, problems: Problems, place: str = "") -> None:
    """Note a file that is missing, empty, or of a kind that is not read."""
    place = f"{place}, {file.uri}" if place else file.uri
    if file.stamp == MISSING:
        problems.note(place, "there is no such file.", "Restore it, or remove the entry.")
    elif file.size == 0 and not is_http(file.uri):
        problems.note(place, "the file is empty.", "Replace it with a complete one.")
    if not is_audio_name(file.name) and not is_audio_name(suffix(file.uri)):
        problems.note(place, "the file's suffix is not audio.", f"Convert it to one of {listed_suffixes()}.")


def title_of(name: str) -> str:
    """A title from a file's name."""
    return posixpath.splitext(normal_name(one_line(name)).rpartition("/")[2])[0]
