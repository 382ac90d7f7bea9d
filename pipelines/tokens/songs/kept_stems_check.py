"""Whether kept stems are there and whole, by both ends of their files; the middle is not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from models.audio.containers.flac_frames import HEAD_BYTES, FlacStream
from models.audio.files import header_info
from models.errors import StemsError
from pipelines.catalog.storage.files import Unreachable, in_parallel, is_remote, local_path
from pipelines.catalog.storage.stores import Store
from pipelines.table.schema import StemsRow
from pipelines.tokens.songs.kept_stems import FRAME_S, stem_uri

_HEADER_BYTES = 65_536  # more than the header of a FLAC file that was written here
_FORMAT = "FLAC"


def damaged(rows: Iterable[StemsRow], names: Sequence[str]) -> set[tuple[str, str]]:
    """Song and separator of the rows that lack one of these stems, or have a damaged one.

    Stems in a store are only listed, a thousand per request, which finds missing and empty ones. An object appears
    whole or not at all.

    Raises:
        Unreachable: the store does not answer.
    """
    kept = [(row, [name for name in names if name in row.stems]) for row in rows]
    local = [(row, wanted) for row, wanted in kept if not is_remote(row.folder)]
    found = in_parallel(lambda each: any(True for _ in _of_row(*each)), local)
    lost = {(row.song_id, row.separator) for (row, _), wrong in zip(local, found, strict=True) if wrong}
    there = {root: _listed(root) for root in {_root(row) for row, _ in kept if is_remote(row.folder)}}
    for row, wanted in kept:
        if is_remote(row.folder) and not {stem_uri(row.folder, name) for name in wanted} <= there[_root(row)]:
            lost.add((row.song_id, row.separator))
    return lost


def _of_row(row: StemsRow, names: Sequence[str]) -> Iterator[str]:
    return stem_problems(row.folder, names, row.rate, row.seconds)


def _root(row: StemsRow) -> str:
    """The folder of songs' folders."""
    return row.folder.rpartition("/")[0]


def _listed(root: str) -> set[str]:
    """Addresses of the objects in a store's folder that are not empty."""
    store = Store(root)
    return {store.full(path) for path, info in store.find().items() if info["size"]}


def stem_problems(folder: str, names: Iterable[str], rate: int, seconds: float) -> Iterator[str]:
    """What is wrong with a song's kept stems, each named.

    Args:
        folder: of the song.
        names: of the stems.
        rate: that they have, in Hz.
        seconds: that they last, within a frame (20 ms).

    Raises:
        Unreachable: the store does not answer.
    """
    for name in names:
        uri = stem_uri(folder, name)
        try:
            yield from _problems(uri, rate, seconds)
        except Unreachable:
            raise
        except (StemsError, OSError) as error:
            yield f"{uri}: {error}"


def _problems(uri: str, rate: int, seconds: float) -> Iterator[str]:
    head, size = _head(uri)
    found = header_info(head, name=uri)
    if found.format != _FORMAT:
        yield f"{uri}: {found.format}, not {_FORMAT}"
        return
    if found.rate != rate:
        yield f"{uri}: {found.rate} Hz, not {rate}"
    if abs(found.seconds - seconds) > FRAME_S:
        yield f"{uri}: {found.seconds:.2f} s, not {seconds:.2f}"
    stream = FlacStream.parse(head[:HEAD_BYTES])
    if stream is None or not stream.ends_with(_tail(uri, head, size, stream.frame_bytes)):
        yield f"{uri}: it is cut off, or its end is damaged"


def _head(uri: str) -> tuple[bytes, int]:
    """The beginning of a file, and its bytes in all."""
    if is_remote(uri):
        store = Store(uri)
        return store.head(_HEADER_BYTES), store.info()["size"]
    with local_path(uri).open("rb") as file:
        return file.read(_HEADER_BYTES), file.seek(0, 2)


def _tail(uri: str, head: bytes, size: int, count: int) -> bytes:
    """The last bytes of a file whose beginning is there already."""
    if size <= len(head):
        return head[-count:]
    if is_remote(uri):
        return Store(uri).tail(count)
    with local_path(uri).open("rb") as file:
        file.seek(-min(count, size), 2)
        return file.read()
