"""Whether kept stems are there and whole, by both ends of their files: what lies between is not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from models.audio import header_info
from models.containers.flac_frames import HEAD_BYTES, FlacStream
from models.errors import StemsError
from pipelines.catalog.files import Unreachable, in_parallel, is_remote, local_path
from pipelines.catalog.stores import Store
from pipelines.tokens.schema import StemsRow
from pipelines.tokens.stems_folder import FRAME_S, stem_uri

_HEADER_BYTES = 65_536  # more than the header of a FLAC file that was written here
_FORMAT = "FLAC"


def damaged(rows: Iterable[StemsRow], names: Sequence[str]) -> set[tuple[str, str]]:
    """Song and separator of those rows of which a stem of these names is gone or damaged.

    Raises:
        Unreachable: the store stays away, so nothing is known.
    """

    def is_damaged(row: StemsRow) -> bool:
        wanted = [name for name in names if name in row.stems]
        return any(True for _ in stem_problems(row.folder, wanted, row.rate, row.seconds))

    listed = list(rows)
    found = in_parallel(is_damaged, listed)
    return {(row.song_id, row.separator) for row, wrong in zip(listed, found, strict=True) if wrong}


def stem_problems(folder: str, names: Iterable[str], rate: int, seconds: float) -> Iterator[str]:
    """What is wrong with a song's kept stems, each named.

    Args:
        folder: of the song.
        names: of the stems.
        rate: that they have, in Hz.
        seconds: that they last, within a frame (20 ms).

    Raises:
        Unreachable: the store stays away.
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
