"""From a catalog entry to samples: fetch the bytes of its files, and decode them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.audio.files import Audio, read_audio
from models.audio.formats import READ_SUFFIXES
from models.errors import StemsError
from pipelines.catalog.schema import CatalogEntry, GivenStem
from pipelines.catalog.source import suffix
from pipelines.catalog.storage.files import is_remote, local_path, read_bytes
from pipelines.catalog.storage.http import is_http
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.reasons import CHANGED


@dataclass(frozen=True)
class SongAudio:
    """A decoded song.

    Args:
        mix: the whole song: its file or, where only stems are given, their sum, as :func:`read_mix` gives it.
        stems: given stems by name, with the length and rate of the mix; empty for a plain mix.
    """

    mix: Audio
    stems: dict[str, Audio]


def read_song(entry: CatalogEntry, limits: SongLimits, allow_hosts: Collection[str] = ()) -> SongAudio:
    """Fetch and decode. Raises what :func:`fetch` and :func:`decode` do."""
    return decode(entry, fetch(entry, allow_hosts=allow_hosts, max_bytes=limits.max_bytes), limits)


def read_mix(entry: CatalogEntry, limits: SongLimits, allow_hosts: Collection[str] = ()) -> Audio:
    """The whole song, after decoding each of its files in turn; raises what :func:`read_song` does."""
    given = tuple(uri for stem in entry.stems for uri in stem.uris)
    together = replace(entry, stems=(GivenStem("all", given),)) if given else entry
    return read_song(together, limits, allow_hosts).mix


def fetch(
    entry: CatalogEntry, *, allow_hosts: Collection[str] = (), max_bytes: int | None = None
) -> dict[str, bytes]:
    """The bytes of a song's files, by uri: its mix, where there is one, and its given stems.

    Args:
        entry: the song.
        allow_hosts: hosts from which files may be fetched.
        max_bytes: refuse larger files.

    Raises:
        StemsError: with code ``missing``, ``unreadable``, ``too_large``, ``changed`` where files have another size
            than the catalog says, or what ``read_bytes`` gives.
    """
    blobs = {uri: _read(uri, allow_hosts, max_bytes) for uri in dict.fromkeys(_uris(entry))}
    _check_size(entry, blobs)
    return blobs


def decode(entry: CatalogEntry, blobs: Mapping[str, bytes], limits: SongLimits) -> SongAudio:
    """The samples of a song out of its files' bytes, as :func:`fetch` gives them.

    A stem is the sum of its files, shorter ones being padded with zeros; files of different numbers of channels are
    summed in stereo.

    Raises:
        StemsError: what :func:`models.audio.files.read_audio` raises; ``mismatched`` where files of one song
            differ in sample rate.
    """
    mix = _decode(entry.uri, blobs[entry.uri], limits) if entry.uri in blobs else None
    stems: dict[str, Audio] = {}
    total: Audio | None = None
    for stem in entry.stems:
        for uri in stem.uris:
            part = _decode(uri, blobs[uri], limits)
            stems[stem.name] = _added(entry.uri, stems.get(stem.name), part)
            # File by file: sums in another order differ in their last bits, and a song is known by its samples.
            total = None if mix else _added(entry.uri, total, part)
    rates = {audio.rate for audio in (mix, *stems.values()) if audio is not None}
    if len(rates) > 1:
        raise _mismatched(entry.uri, rates)
    whole = mix or total
    assert whole is not None
    length = whole.samples.shape[1]
    return SongAudio(whole, {name: _as_long(stem, length) for name, stem in stems.items()})


def _uris(entry: CatalogEntry) -> list[str]:
    given = [uri for stem in entry.stems for uri in stem.uris]
    return given if given and not _is_mix(entry.uri) else [entry.uri, *given]


def _check_size(entry: CatalogEntry, blobs: Mapping[str, bytes]) -> None:
    """Hosts may give a file packed, in another size than they said."""
    counted = [uri for stem in entry.stems for uri in stem.uris] or [entry.uri]
    size = sum(len(blobs[uri]) for uri in counted)
    if entry.size and size != entry.size and not any(map(is_http, counted)):
        raise StemsError(
            f"'{entry.uri}' has {size} bytes, and the catalog says {entry.size}: it has been replaced or written to.",
            "Run the same command again; if it reads a catalog file, write that file again first.",
            code=CHANGED,
        )


def _is_mix(uri: str) -> bool:
    """Whether a multitrack song's address is that of a mix; else it is its folder's."""
    return suffix(uri) in READ_SUFFIXES and (is_remote(uri) or not local_path(uri).is_dir())


def _read(uri: str, allow_hosts: Collection[str], max_bytes: int | None) -> bytes:
    try:
        return read_bytes(uri, allow_hosts=allow_hosts, max_bytes=max_bytes)
    except FileNotFoundError as error:
        raise StemsError(f"There is no file '{uri}'.", "Check the path.", code="missing") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        why = getattr(error, "strerror", None) or error
        raise StemsError(f"'{uri}' cannot be read ({why}).", "Check its permissions.", code="unreadable") from error


def _decode(uri: str, data: bytes, limits: SongLimits) -> Audio:
    return read_audio(data, name=uri, max_seconds=limits.max_seconds, max_bytes=limits.decoded_bytes)


def _added(name: str, total: Audio | None, part: Audio) -> Audio:
    """The sum so far with one more sound."""
    if total is None:
        return part
    if total.rate != part.rate:
        raise _mismatched(name, {total.rate, part.rate})
    if len(total.samples) != len(part.samples):
        total, part = total.stereo(), part.stereo()
    length = max(total.samples.shape[1], part.samples.shape[1])
    return Audio(_as_long(total, length).samples + _as_long(part, length).samples, total.rate)


def _as_long(audio: Audio, length: int) -> Audio:
    missing = length - audio.samples.shape[1]
    if missing == 0:
        return audio
    samples = np.pad(audio.samples, ((0, 0), (0, missing))) if missing > 0 else audio.samples[:, :length].copy()
    return Audio(samples, audio.rate)


def _mismatched(name: str, rates: set[int]) -> StemsError:
    return StemsError(
        f"The files of '{name}' have different sample rates ({', '.join(map(str, sorted(rates)))} Hz).",
        "Export them at one rate.",
        code="mismatched",
    )
