"""FLAC's header and frame headers: which samples a frame holds, and whether a file ends as it should.

The last frame states which samples it holds, and ends with a checksum; the header states the number of samples. So
reading a few kilobytes shows whether the header is right (RFC 9639).
"""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 42
"""Bytes to read at the beginning of a file: the mark and STREAMINFO, which comes first."""

FRAME_HEADER_BYTES = 16
"""Largest size of a frame header."""

MAGIC = b"fLaC"
TOTAL_BITS = 36

_SYNC = (0xF8, 0xF9)  # the second byte: fixed or variable block size
_BLOCK_8_BITS, _BLOCK_16_BITS = 6, 7
_BLOCKS = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 256 << (n - 8) for n in range(8, 16)}}
_RATE_BYTES = {12: 1, 13: 2, 14: 2}
_NO_RATE, _MOST_CHANNELS = 15, 10


def _table(polynomial: int, bits: int) -> list[int]:
    top, mask, table = 1 << (bits - 1), (1 << bits) - 1, []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value & top else 0)
        table.append(value & mask)
    return table


_CRC_8, _CRC_16 = _table(0x07, 8), _table(0x8005, 16)


@dataclass(frozen=True)
class FlacStream:
    """A FLAC file's header.

    Args:
        block: samples per frame (except the last one) where all frames have one size.
        rate: Hz.
        samples: samples per channel; 0 where the header does not state them.
        frame_bytes: largest size of a frame.
    """

    block: int
    rate: int
    samples: int
    frame_bytes: int

    @classmethod
    def parse(cls, head: bytes) -> FlacStream | None:
        """The header in the first :data:`HEAD_BYTES` of a file; None if there is none."""
        if len(head) < HEAD_BYTES or head[:4] != MAGIC or head[4] & 0x7F:
            return None
        block = int.from_bytes(head[10:12])
        packed = int.from_bytes(head[18:26])  # 20 bits rate, 3 channels - 1, 5 bits per sample - 1, 36 samples
        channels, bits = ((packed >> 41) & 7) + 1, ((packed >> TOTAL_BITS) & 31) + 1
        frame_bytes = channels * (block * (bits + 1) // 8 + 8) + 2 * FRAME_HEADER_BYTES
        return cls(block, packed >> 44, packed & (1 << TOTAL_BITS) - 1, frame_bytes)

    def span(self, header: bytes) -> tuple[int, int] | None:
        """First sample and end sample (exclusive) of the frame with this header; None if it is not a header."""
        if len(header) < 6 or header[1] not in _SYNC or header[3] & 1 or header[3] >> 4 > _MOST_CHANNELS:
            return None
        code, rate = header[2] >> 4, header[2] & 15
        number, at = _coded_number(header)
        if code == 0 or rate == _NO_RATE or number < 0:
            return None
        size = {_BLOCK_8_BITS: 1, _BLOCK_16_BITS: 2}.get(code, 0)
        length = int.from_bytes(header[at : at + size]) + 1 if size else _BLOCKS[code]
        at += size + _RATE_BYTES.get(rate, 0)
        if at >= len(header) or _crc_8(header[:at]) != header[at]:
            return None
        first = number if header[1] & 1 else number * self.block
        return first, first + length

    def ends_with(self, tail: bytes) -> bool:
        """Whether ``tail``, the last ``frame_bytes`` of the file or all of it, ends with the last sample's frame."""
        at = tail.rfind(b"\xff")
        while at >= 0:
            found = self.span(tail[at : at + FRAME_HEADER_BYTES])
            if found is not None and found[1] == self.samples and _crc_16(tail[at:]) == 0:
                return True
            at = tail.rfind(b"\xff", 0, at)
        return False


def _coded_number(header: bytes) -> tuple[int, int]:
    """The number of a frame or of its first sample, coded as in UTF-8, and the offset of its end; -1 for none."""
    first = header[4]
    more = 0
    while more < 7 and first & (0x80 >> more):
        more += 1
    if more == 0:
        return first, 5
    if more == 1 or len(header) < 4 + more:
        return -1, 5
    value = first & (0x7F >> more)
    for byte in header[5 : 4 + more]:
        if byte & 0xC0 != 0x80:
            return -1, 5
        value = value << 6 | byte & 0x3F
    return value, 4 + more


def _crc_8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC_8[value ^ byte]
    return value


def _crc_16(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC_16[value >> 8 ^ byte]
    return value
