"""Ogg streams with a serial number that does not depend on when they were made."""

from __future__ import annotations

import struct
import zlib

_SERIAL = struct.pack("<I", 1)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_fixed_serial(data: bytes) -> bytes:
    """The same Ogg stream under one serial number: encoders draw it, so that no two files would be equal."""
    out, at = bytearray(data), 0
    while at < len(out):
        segments = out[at + 26]
        end = at + 27 + segments + sum(out[at + 27 : at + 27 + segments])
        out[at + 14 : at + 18] = _SERIAL
        out[at + 22 : at + 26] = bytes(4)
        out[at + 22 : at + 26] = struct.pack("<I", _checksum(out[at:end]))
        at = end
    return bytes(out)


def _checksum(page: bytearray) -> int:
    """Ogg's CRC: the polynomial of zlib's, with the bits of every byte in the other order, and no inversions."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
