"""Whether a FLAC file is whole, by its two ends: one that was cut off, or whose end is not its own, is not.

The last frame says which samples it holds, and ends with a checksum; the header says how many samples there are. So a
few kilobytes tell what a header alone does not.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 42
"""What is read of a file's beginning: the mark and STREAMINFO, which comes first."""

_FRAME_HEADER_BYTES = 16
_BLOCK_8_BITS, _BLOCK_16_BITS = 6, 7
_RATE_BYTES = {12: 1, 13: 2, 14: 2}


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
    """What a FLAC file's header says.

    Args:
        block: samples of each frame but the last.
        samples: of each channel.
        frame_bytes: the most that a frame takes.
    """

    block: int
    samples: int
    frame_bytes: int

    @classmethod
    def parse(cls, head: bytes) -> FlacStream | None:
        """The header in the first :data:`HEAD_BYTES` of a file; None where there is none."""
        if len(head) < HEAD_BYTES or head[:4] != b"fLaC" or head[4] & 0x7F:
            return None
        smallest, block = int.from_bytes(head[8:10]), int.from_bytes(head[10:12])
        packed = int.from_bytes(head[18:26])  # 20 bits rate, 3 channels - 1, 5 bits a sample - 1, 36 samples
        channels, bits = ((packed >> 41) & 7) + 1, ((packed >> 36) & 31) + 1
        frame_bytes = channels * (block * (bits + 1) // 8 + 8) + 2 * _FRAME_HEADER_BYTES
        return cls(block if smallest == block else 0, packed & (1 << 36) - 1, frame_bytes)

    def ends_with(self, tail: bytes) -> bool:
        """Whether the last ``frame_bytes`` of the file, or all of it, end with the frame of the last sample."""
        at = tail.rfind(b"\xff")
        while at >= 0:
            if self._end(tail[at : at + _FRAME_HEADER_BYTES]) == self.samples and _crc_16(tail[at:]) == 0:
                return True
            at = tail.rfind(b"\xff", 0, at)
        return False

    def _end(self, header: bytes) -> int:
        """The sample after the last one of a frame that begins so; 0 where no frame does."""
        if len(header) < 6 or header[1] & 0xFE != 0xF8:
            return 0
        code, rate = header[2] >> 4, header[2] & 15
        number, at = _coded_number(header)
        size = {_BLOCK_8_BITS: 1, _BLOCK_16_BITS: 2}.get(code, 0)
        written = int.from_bytes(header[at : at + size])
        at += size + _RATE_BYTES.get(rate, 0)
        if at >= len(header) or number < 0 or _crc_8(header[:at]) != header[at]:
            return 0
        length = written + 1 if size else 192 if code == 1 else 576 << (code - 2) if code < 6 else 256 << (code - 8)
        return (number if header[1] & 1 else number * self.block) + length


def _coded_number(header: bytes) -> tuple[int, int]:
    """The number of a frame or of its first sample, written as in UTF-8, and where it ends; -1 for none."""
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
