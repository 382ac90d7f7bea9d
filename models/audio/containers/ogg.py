"""Ogg: chained streams in turn, each as long as its pages (RFC 3533)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from models.audio.containers.parts import AS_IT_IS, FilePart, breaks_off, damaged

_SERIAL = struct.pack("<I", 1)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MAGIC, _HEADER = b"OggS", 27
_BEGINS, _ENDS = 2, 4
_NO_PACKET = 2**64 - 1
_FAR = 1 << 40
"""More samples than any file holds: a position that a decoder never reaches."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its offsets, its flags, the samples up to its end, its stream, and its number in that stream."""

    start: int
    end: int
    flags: int
    position: int
    serial: bytes
    number: int


@dataclass(frozen=True)
class Link:
    """Pages from the beginning of one stream (or of several parallel ones) to that of the next."""

    pages: tuple[Page, ...]


def ogg_parts(data: bytes, label: str) -> tuple[FilePart, ...]:
    """Every stream of a chain, whole.

    Raises:
        StemsError: ``unreadable`` where pages are damaged or missing, ``truncated`` where the last one does not end
            its stream.
    """
    pages = list(pages_of(data))
    links = list(_links(pages))
    if not links or not pages[0].flags & _BEGINS:
        return AS_IT_IS
    _check(data, pages, links, label)
    if len(links) == 1 and _grows(links[0]) and _are_joined(pages):
        return (FilePart(tail=_tail(links[0])),)
    return tuple(_whole(data, link) for link in links)


def pages_of(data: bytes) -> Iterator[Page]:
    """The pages of an Ogg file; bytes between them are skipped."""
    at = 0
    while (at := data.find(_MAGIC, at)) >= 0 and at + _HEADER <= len(data):
        segments = data[at + 26]
        end = at + _HEADER + segments + sum(data[at + _HEADER : at + _HEADER + segments])
        if data[at + 4] != 0 or end > len(data):
            at += 1
            continue
        yield Page(
            at,
            end,
            data[at + 5],
            int.from_bytes(data[at + 6 : at + 14], "little"),
            data[at + 14 : at + 18],
            int.from_bytes(data[at + 18 : at + 22], "little"),
        )
        at = end


def with_fixed_serial(data: bytes) -> bytes:
    """The same Ogg stream with a fixed serial number: encoders draw it at random, so no two files would be equal."""
    out = bytearray(data)
    for page in pages_of(data):
        out[page.start + 14 : page.start + 18] = _SERIAL
        _seal(out, page.start, page.end)
    return bytes(out)


def _links(pages: list[Page]) -> Iterator[Link]:
    """Split pages into links: a link begins with a first page of a stream that follows a page of another kind."""
    begin = 0
    for index in range(1, len(pages)):
        if pages[index].flags & _BEGINS and not pages[index - 1].flags & _BEGINS:
            yield Link(tuple(pages[begin:index]))
            begin = index
    if pages:
        yield Link(tuple(pages[begin:]))


def _check(data: bytes, pages: list[Page], links: list[Link], label: str) -> None:
    bad = sum(_checksum(data[page.start : page.end]) != data[page.start + 22 : page.start + 26] for page in pages)
    if bad:
        raise damaged(label, f"{bad} of its {len(pages)} pages fail their checksum")
    lost = sum(_lost(link) for link in links)
    if lost:
        raise damaged(label, f"pages missing in its middle: {lost}")
    if not pages[-1].flags & _ENDS:
        raise breaks_off(label, "before the page that ends its stream")


def _lost(link: Link) -> int:
    """Pages missing between others. A recorder that joined late has a stream's headers, and then a gap."""
    lost, last = 0, dict[bytes, Page]()
    for page in link.pages:
        before = last.get(page.serial, page)
        if before is not page and page.number != before.number + 1 and before.position not in (0, _NO_PACKET):
            lost += max(1, page.number - before.number - 1)
        last[page.serial] = page
    return lost


def _grows(link: Link) -> bool:
    """Whether the last page has the greatest position, as it must."""
    said = [page.position for page in link.pages if page.position != _NO_PACKET]
    return not said or said[-1] == max(said)


def _are_joined(pages: list[Page]) -> bool:
    return all(before.end == page.start for before, page in pairwise(pages))


def _whole(data: bytes, link: Link) -> FilePart:
    """A link as a separate file; where its last position is impossible, it ends with its packets."""
    out = bytearray(b"".join(data[page.start : page.end] for page in link.pages))
    last, grows = link.pages[-1], _grows(link)
    begin = len(out) - (last.end - last.start)
    if not grows:
        far = max(page.position for page in link.pages if page.position != _NO_PACKET) + _FAR
        out[begin + 6 : begin + 14] = struct.pack("<Q", far)
    out[begin + 5] |= _ENDS
    _seal(out, begin, len(out))
    return FilePart(bytes(out), None if grows else 0, _tail(link))


def _tail(link: Link) -> int:
    """Samples of the last page: libsndfile assumes that its position counts all of its samples, but some are cut."""
    last = link.pages[-1]
    before = (p.position for p in reversed(link.pages[:-1]) if p.serial == last.serial and p.position != _NO_PACKET)
    return max(0, last.position - next(before, 0))


def _seal(out: bytearray, start: int, end: int) -> None:
    """Write the checksum of a page's present content."""
    out[start + 22 : start + 26] = _checksum(out[start:end])


def _checksum(page: bytes | bytearray) -> bytes:
    """Ogg's CRC of a page: zlib's polynomial, with the bits of every byte reversed, and without inversions. The
    page's own checksum counts as 0.
    """
    blank = bytes(page[:22]) + bytes(4) + bytes(page[26:])
    mirrored = zlib.crc32(blank.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return struct.pack("<I", int(f"{mirrored:032b}"[::-1], 2))
