"""Files whose headers are wrong about their length, or say nothing of it: with how long the sound in them is."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from helpers.by_ffmpeg import RATE, by_ffmpeg, shifted, song
from helpers.containers import id3, mp3_frames, ogg_pages, ogg_sealed, riff_chunk, wav
from helpers.odd_songs import encoded, int16

XING_FRAMES, XING_BYTES = 1, 2


@dataclass(frozen=True)
class Case:
    """A file.

    Args:
        name: with its suffix.
        data: its bytes.
        seconds: of sound that was put into it.
        delay: seconds that its encoder added and that the file does not state.
    """

    name: str
    data: bytes
    seconds: float
    delay: float = 0.0


def put(data: bytes, at: int, new: bytes) -> bytes:
    """The data with other bytes at one place."""
    return data[:at] + new + data[at + len(new) :]


def mp3(seconds: float = 6.0, *, vbr: bool = True, xing: bool = True, rate: int = RATE, quiet: float = 0.0) -> bytes:
    """An MP3 by LAME, without tags."""
    sound = song(seconds, rate, quiet=quiet)
    return by_ffmpeg(sound, rate, "mp3", "libmp3lame", vbr=vbr, write_xing=str(int(xing)), id3v2_version="0")


def with_xing(data: bytes, *, flags: int | None = None, frames: int | None = None, size: int | None = None) -> bytes:
    """An MP3 whose Xing header says something else."""
    at = max(data.find(b"Xing"), data.find(b"Info"))
    for value, where in ((flags, at + 4), (frames, at + 8), (size, at + 12)):
        data = data if value is None else put(data, where, struct.pack(">I", value))
    return data


def chained(*streams: bytes) -> bytes:
    """Ogg streams behind each other, each under its own serial number."""
    out = b""
    for serial, stream in enumerate(streams, start=1):
        for page in ogg_pages(stream):
            page[14:18] = struct.pack("<I", serial)
            out += ogg_sealed(page)
    return out


def ogg_changed(data: bytes, change: Callable[[int, bytearray], bytearray | None]) -> bytes:
    """An Ogg file whose pages ``change`` was given, by number; pages that it gives back are sealed."""
    changed = (change(number, page) for number, page in enumerate(ogg_pages(data)))
    return b"".join(ogg_sealed(page) for page in changed if page is not None)


def flac_total(data: bytes, total: int) -> bytes:
    """A FLAC whose STREAMINFO counts so many samples."""
    packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return put(data, 18, packed.to_bytes(8, "big"))


def ape(size: int) -> bytes:
    """An APEv2 tag with a footer, as behind an MP3."""
    foot = struct.pack("<8sIIIIQ", b"APETAGEX", 2000, size + 32, 1, 0x80000000, 0)
    head = struct.pack("<8sIIIIQ", b"APETAGEX", 2000, size + 32, 1, 0xA0000000, 0)
    return head + np.random.default_rng(3).bytes(size) + foot


def mp3s() -> Iterator[Case]:
    delay = 1152 * 2 / RATE
    whole, bare = mp3(), mp3(xing=False)
    frames, size = len(mp3_frames(whole)) - 1, len(whole)
    yield Case("vbr without xing.mp3", bare, 6, delay)
    yield Case("xing counts 0.mp3", with_xing(whole, frames=0), 6)
    yield Case("xing without flags.mp3", with_xing(whole, flags=0), 6, delay)
    yield Case("xing counts half.mp3", with_xing(whole, frames=frames // 2), 6)
    yield Case("xing counts half of frames and bytes.mp3", with_xing(whole, frames=frames // 2, size=size // 2), 6)
    yield Case("xing counts a million.mp3", with_xing(whole, frames=10**6), 6)
    yield Case("xing counts too many bytes.mp3", with_xing(whole, size=10 * size), 6)
    yield Case("two joined.mp3", whole + mp3(6.5), 12.5)
    yield Case("two joined without xing.mp3", bare + mp3(6.5, xing=False), 12.5, 2 * delay)
    yield Case("two joined with tags between.mp3", whole + b"TAG" + bytes(125) + id3(40_000) + whole, 12)
    constant = mp3(8, vbr=False, xing=False)
    cover = np.random.default_rng(2).bytes(400_000).replace(b"\xff", b"\xfe")
    yield Case("cbr with a cover in id3.mp3", id3(0, len(cover)) + cover + constant, 8, delay)
    yield Case("cbr with a cover in ape.mp3", constant + ape(400_000), 8, delay)
    yield Case("cbr with all tags.mp3", id3(999) + constant + ape(5000) + b"TAG" + bytes(125), 8, delay)
    yield Case("vbr that begins in silence.mp3", mp3(12, xing=False, quiet=2), 12, delay)
    yield Case(
        "padding between frames.mp3", bare[: len(bare) // 2] + bytes(5000) + bare[len(bare) // 2 :], 6, 2 * delay
    )
    yield Case("low rate.mp3", mp3(6, xing=False, rate=16_000), 6, 576 * 3 / 16_000)
    yield Case("zeros in front.mp3", bytes(3000) + bare, 6, delay)
    yield Case("cut in its last frame.mp3", bare[:-100], 6, delay)


def oggs() -> Iterator[Case]:
    vorbis, opus = encoded(song(5), RATE, "OGG", "VORBIS"), encoded(song(5, 48_000), 48_000, "OGG", "OPUS")
    yield Case("vorbis chain.ogg", chained(vorbis, encoded(song(7), RATE, "OGG", "VORBIS")), 12)
    yield Case("opus chain.opus", chained(opus, encoded(song(7, 48_000), 48_000, "OGG", "OPUS")), 12)
    yield Case("chain of one serial.ogg", vorbis + vorbis, 10)
    yield Case("chain without ends.ogg", chained(ogg_changed(vorbis, _without_end), vorbis), 10)
    yield Case("last position 0.ogg", ogg_changed(vorbis, _last_position(0, len(ogg_pages(vorbis)))), 5, 0.05)
    yield Case("last position half.ogg", ogg_changed(vorbis, _last_position(RATE, len(ogg_pages(vorbis)))), 5, 0.05)
    yield Case("joined late.ogg", ogg_changed(vorbis, _later), 5)
    yield Case("tag in front.ogg", id3(3000) + vorbis, 5)
    yield Case("bytes between pages.ogg", vorbis + b"\r\n" * 40 + chained(vorbis, vorbis), 15)
    yield Case("tag behind.ogg", vorbis + b"TAG" + bytes(125), 5)


def _without_end(_: int, page: bytearray) -> bytearray:
    page[5] &= ~4
    return page


def _later(_: int, page: bytearray) -> bytearray:
    position = int.from_bytes(page[6:14], "little")
    page[6:14] = struct.pack("<Q", position + 10**9 if position else 0)
    return page


def _last_position(value: int, pages: int) -> Callable[[int, bytearray], bytearray]:
    def change(number: int, page: bytearray) -> bytearray:
        if number == pages - 1:
            page[6:14] = struct.pack("<Q", value)
        return page

    return change


def wavs() -> Iterator[Case]:
    samples = int16(song(4))
    size = samples.nbytes
    tail = riff_chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"daw 1\0")
    yield Case("data 0.wav", wav(samples, rate=RATE, data_size=0), 4)
    yield Case("data 0 and riff 0.wav", wav(samples, rate=RATE, data_size=0, riff_size=0), 4)
    yield Case("data ff.wav", wav(samples, rate=RATE, data_size=2**32 - 1, riff_size=2**32 - 1), 4)
    yield Case("data 80.wav", wav(samples, rate=RATE, data_size=2**31, riff_size=2**31 + 36), 4)
    yield Case("data counts half.wav", wav(samples, rate=RATE, data_size=size // 2), 4)
    yield Case("data counts twice.wav", wav(samples, rate=RATE, data_size=2 * size), 4)
    yield Case("riff counts twice.wav", wav(samples, rate=RATE, riff_size=2 * size), 4)
    yield Case("tag in front.wav", id3(40_000) + wav(samples, rate=RATE), 4)
    long = riff_chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 200_000) + bytes(200_000)) + tail
    for name, value in (("0", 0), ("ff", 2**32 - 1)):
        yield Case(f"data {name} and chunks behind.wav", wav(samples, rate=RATE, data_size=value, after=long), 4)
    yield Case("data without its padding.wav", _unpadded(), 2)
    yield Case("tag behind.wav", wav(samples, rate=RATE) + b"TAG" + bytes(125), 4)
    large = encoded(song(4), RATE, "RF64", "PCM_16")
    for name, value in (("0", 0), ("half", size // 2), ("twice", 2 * size)):
        at = large.index(b"ds64") + 16
        yield Case(f"rf64 counts {name}.wav", put(large, at, struct.pack("<Q", value)), 4)
    yield Case("adpcm.wav", encoded(song(4), RATE, "WAV", "IMA_ADPCM"), 4)


def _unpadded() -> bytes:
    """An odd number of bytes of audio, with a chunk of 300 KB right behind it."""
    data = encoded(song(2, channels=1)[: 2 * RATE - 1], RATE, "WAV", "PCM_24")
    at = data.index(b"data")
    whole = data[: at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")]
    whole += riff_chunk(b"id3 ", np.random.default_rng(4).bytes(300_000))
    return put(whole, 4, struct.pack("<I", len(whole) - 8))


def flacs() -> Iterator[Case]:
    data, count = encoded(song(5), RATE, "FLAC", "PCM_16"), 5 * RATE
    yield Case("counts 0.flac", flac_total(data, 0), 5)
    yield Case("counts 0 with a tag behind.flac", flac_total(data, 0) + b"TAG" + bytes(125), 5)
    yield Case("counts half.flac", flac_total(data, count // 2), 5)
    yield Case("counts 1.flac", flac_total(data, 1), 5)
    yield Case("tag in front.flac", id3(4000) + flac_total(data, 0), 5)
    yield Case("two joined.flac", data + encoded(song(7), RATE, "FLAC", "PCM_16"), 12)
    yield Case("24 bits counts half.flac", flac_total(encoded(song(5), RATE, "FLAC", "PCM_24"), count // 2), 5)


def others() -> Iterator[Case]:
    size = 4 * RATE * 4
    aiff, au, caf, w64 = (encoded(song(4), RATE, kind, "PCM_16") for kind in ("AIFF", "AU", "CAF", "W64"))
    common, sound = aiff.index(b"COMM"), aiff.index(b"SSND")
    for name, value in (("0", 0), ("half", size // 2), ("ff", 2**32 - 1)):
        yield Case(f"sound chunk counts {name}.aiff", put(aiff, sound + 4, struct.pack(">I", value)), 4)
        yield Case(f"samples counted {name}.aif", put(aiff, common + 10, struct.pack(">I", value)), 4)
    described = aiff[common : common + 26]
    yield Case("described behind its sound.aiff", aiff[:common] + aiff[common + 26 :] + described, 4)
    for name, value in (("0", 0), ("ff", 2**32 - 1)):
        yield Case(f"counts {name}.au", put(au, 8, struct.pack(">I", value)), 4)
    data = caf.index(b"data")
    for name, value in (("0", 0), ("-1", -1)):
        yield Case(f"counts {name}.caf", put(caf, data + 4, struct.pack(">q", value)), 4)
    packed = encoded(song(4), RATE, "CAF", "ALAC_16")
    yield Case("alac counts -1.caf", put(packed, packed.rindex(b"data") + 4, struct.pack(">q", -1)), 4)
    data = w64.index(b"data\xf3")
    for name, value in (("0", 0), ("24", 24), ("half", size // 2), ("-1", -1)):
        yield Case(f"counts {name}.w64", put(w64, data + 16, struct.pack("<q", value)), 4)


def of_phones() -> Iterator[Case]:
    aac = song(5)
    yield Case("phone.m4a", by_ffmpeg(aac, RATE, "ipod", "aac"), 5, 1024 / RATE)
    yield Case("fast start.m4a", by_ffmpeg(aac, RATE, "ipod", "aac", movflags="+faststart"), 5, 1024 / RATE)
    yield Case(
        "in fragments.m4a", by_ffmpeg(aac, RATE, "mp4", "aac", movflags="frag_keyframe+empty_moov"), 5, 2048 / RATE
    )
    yield Case("lossless.m4a", by_ffmpeg(aac, RATE, "ipod", "alac"), 5)
    yield Case("stream.aac", by_ffmpeg(aac, RATE, "adts", "aac"), 5, 2048 / RATE)
    yield Case("two joined.aac", 2 * by_ffmpeg(aac, RATE, "adts", "aac"), 10, 4096 / RATE)
    opus = song(5, 48_000)
    yield Case("browser.webm", by_ffmpeg(opus, 48_000, "webm", "libopus"), 5)
    yield Case("live.webm", by_ffmpeg(opus, 48_000, "webm", "libopus", live="1"), 5)


def that_browsers_hear_otherwise() -> Iterator[Case]:
    aac = song(5)
    yield Case("tag in front.m4a", id3(3000) + by_ffmpeg(aac, RATE, "ipod", "aac"), 5, 1024 / RATE)
    yield Case("ape behind.aac", by_ffmpeg(aac, RATE, "adts", "aac") + ape(5000), 5, 2048 / RATE)
    yield Case("begins late.webm", shifted(by_ffmpeg(song(5, 48_000), 48_000, "webm", "libopus"), 2.0), 5)


WRONG_LENGTHS = {
    "mp3": mp3s,
    "ogg": oggs,
    "wav": wavs,
    "flac": flacs,
    "others": others,
    "of phones": of_phones,
    "that browsers hear otherwise": that_browsers_hear_otherwise,
}
"""Every kind that was thought of, all whole."""


def cut_files() -> Mapping[str, bytes]:
    """Files of which the end or the middle is missing, as their bytes show."""
    vorbis = encoded(song(5), RATE, "OGG", "VORBIS")
    flac, m4a = encoded(song(5), RATE, "FLAC", "PCM_16"), by_ffmpeg(song(5), RATE, "ipod", "aac")
    fast = by_ffmpeg(song(5), RATE, "ipod", "aac", movflags="+faststart")
    webm, whole = by_ffmpeg(song(5, 48_000), 48_000, "webm", "libopus"), mp3()
    samples = int16(song(4))
    half = len(whole) // 2
    broken = ogg_changed(vorbis, lambda number, page: page if number < 4 else None)
    return {
        "half.mp3": whole[:half],
        "second half cut.mp3": whole + whole[:half],
        "without its middle.mp3": whole[:half] + np.random.default_rng(1).bytes(30_000) + whole[half:],
        "zeros in its middle.mp3": put(mp3(xing=False), half, bytes(20_000)),
        "half.ogg": vorbis[: len(vorbis) // 2],
        "a page damaged.ogg": put(vorbis, len(vorbis) // 2, b"\0\1\2\3"),
        "a page missing.ogg": ogg_changed(vorbis, lambda number, page: None if number == 5 else page),
        "second link cut.ogg": chained(vorbis) + broken,
        "half.flac": flac[: len(flac) // 2],
        "counts twice.flac": flac_total(flac, 10 * RATE),
        "half.wav": wav(samples, rate=RATE)[: samples.nbytes // 2],
        "bytes behind.wav": wav(samples, rate=RATE) + np.random.default_rng(1).bytes(200_000),
        "half.m4a": m4a[: len(m4a) // 2],
        "half of a fast start.m4a": fast[: len(fast) * 3 // 4],
        "half.webm": webm[: len(webm) // 2],
    }
