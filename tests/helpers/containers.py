"""Audio containers written by hand, field by field, so that each field can lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

OGG_GRANULE, OGG_FLAGS, OGG_SEQUENCE = slice(6, 14), 5, slice(18, 22)


def riff_chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """A RIFF chunk, padded to two bytes; ``size`` is what its header says, the truth by default."""
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def wav(
    samples: np.ndarray,
    *,
    tag: int = 1,
    channels: int | None = None,
    rate: int = 8000,
    bits: int | None = None,
    align: int | None = None,
    byte_rate: int | None = None,
    data_size: int | None = None,
    riff_size: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A WAV of ``samples`` [n, channels] as they lie in memory; every field of its header may be set to a lie.

    Args:
        samples: int16, int32 or float.
        tag: 1 for integers, 3 for floats.
        channels: as the header says it, and so on for what follows.
        rate: Hz.
        bits: of a sample.
        align: bytes of a sample of all channels.
        byte_rate: bytes a second.
        data_size: bytes of the data chunk.
        riff_size: bytes of all but the first eight.
        before: chunks between ``fmt`` and ``data``.
        after: bytes behind ``data``.
    """
    width = samples.dtype.itemsize
    channels = samples.shape[1] if channels is None else channels
    bits = 8 * width if bits is None else bits
    align = (channels * width) & 0xFFFF if align is None else align
    byte_rate = (rate * align) & 0xFFFFFFFF if byte_rate is None else byte_rate
    header = riff_chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, byte_rate, align, bits))
    body = b"WAVE" + header + before + riff_chunk(b"data", samples.tobytes(), data_size) + after
    return riff_chunk(b"RIFF", body, riff_size)


def flac(
    frames: int,
    *,
    block: int = 65_535,
    rate: int = 48_000,
    channels: int = 8,
    level: int = 0,
    total: int | None = None,
) -> bytes:
    """A FLAC of ``frames`` frames, each ``block`` samples of one value: hours in some kilobytes.

    Args:
        frames: how many.
        block: samples in each.
        rate: Hz, as the header says.
        channels: 1 to 8.
        level: the value, of alternating sign: 0 is silence, else a square wave with a period of two frames.
        total: samples that the header promises, the truth by default; 0 is "not known".
    """
    total = frames * block if total is None else total
    packed = rate << 44 | (channels - 1) << 41 | 15 << 36 | total
    info = struct.pack(">HH6xQ16x", block, block, packed)
    return (
        b"fLaC"
        + b"\x80"
        + len(info).to_bytes(3, "big")
        + info
        + b"".join(_flac_frames(frames, block, channels, level))
    )


def _flac_frames(count: int, block: int, channels: int, level: int) -> Iterator[bytes]:
    start = bytes([0xFF, 0xF8, 0x70, (channels - 1) << 4])
    sides = [b"\0" + struct.pack(">h", sign * level) for sign in (1, -1)]
    for number in range(count):
        header = start + _utf8(number) + struct.pack(">H", block - 1)
        header += bytes([_crc(header, _CRC8, 8)])
        body = header + sides[number % 2] * channels
        yield body + struct.pack(">H", _crc(body, _CRC16, 16))


def _utf8(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def _crc_table(polynomial: int, width: int) -> list[int]:
    table, top, mask = [], 1 << (width - 1), (1 << width) - 1
    for value in range(256):
        crc = value << (width - 8)
        for _ in range(8):
            crc = ((crc << 1) ^ polynomial) & mask if crc & top else (crc << 1) & mask
        table.append(crc)
    return table


_CRC8, _CRC16, _CRC32 = _crc_table(0x07, 8), _crc_table(0x8005, 16), _crc_table(0x04C11DB7, 32)


def _crc(data: bytes, table: list[int], width: int) -> int:
    crc, mask, shift = 0, (1 << width) - 1, width - 8
    for byte in data:
        crc = ((crc << 8) & mask) ^ table[(crc >> shift) ^ byte]
    return crc


def ogg_pages(data: bytes) -> list[bytearray]:
    """The pages of an Ogg file, one after the other."""
    pages, at = [], 0
    while at < len(data):
        count = data[at + 26]
        end = at + 27 + count + sum(data[at + 27 : at + 27 + count])
        pages.append(bytearray(data[at:end]))
        at = end
    return pages


def ogg_sealed(page: bytearray) -> bytes:
    """A page with the checksum that belongs to what it holds now."""
    blank = page[:22] + bytes(4) + page[26:]
    return bytes(blank[:22]) + struct.pack("<I", _crc(bytes(blank), _CRC32, 32)) + bytes(blank[26:])


def id3(size: int, promised: int | None = None) -> bytes:
    """An ID3v2 tag with ``size`` bytes of padding; ``promised`` is what its header says."""
    size_said = size if promised is None else promised
    return b"ID3\x04\0\0" + bytes(size_said >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def mp3_frames(data: bytes) -> list[bytes]:
    """The frames of an MPEG-1 layer III file, the first of which is its table of contents."""
    kilobits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    frames, at = [], 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        rate = (44_100, 48_000, 32_000)[data[at + 2] >> 2 & 3]
        size = 144_000 * kilobits[data[at + 2] >> 4] // rate + (data[at + 2] >> 1 & 1)
        frames.append(data[at : at + size])
        at += size
    return frames
