"""A corpus of files that claim to be songs: odd ones that are, and broken ones of every kind, from one seed.

What is expected holds for songs of 1 to 300 s.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from helpers.by_ffmpeg import by_ffmpeg
from helpers.containers import OGG_FLAGS, OGG_GRANULE, flac, id3, mp3_frames, ogg_pages, ogg_sealed, riff_chunk, wav
from helpers.odd_songs import RATE, encoded, int16, music, noise, odd_songs

Expected = frozenset[str]
"""What may become of a file: "song", or reason codes."""

SONG = "song"
BROKEN = "unreadable empty truncated unsupported too_short too_long too_large"
ANY = f"{SONG} {BROKEN} silent not_finite out_of_range"
"""Of a file of which nothing is known: a decoder may well make a song of it."""

Case = tuple[str, bytes, str]
"""File name, its bytes, and what may become of it, separated by blanks."""

_FUZZED_OF_EACH = 3


def build_corpus(root: Path, seed: int = 0) -> dict[str, Expected]:
    """Write every case below ``root``, an empty folder; what may become of each, by file name."""
    expected = {}
    for name, data, codes in _cases(seed):
        if name in expected:
            raise ValueError(f"two cases are called {name}")
        (root / name).write_bytes(data)
        expected[name] = frozenset(codes.split())
    return expected | _traps(root)


def _cases(seed: int) -> Iterator[Case]:
    for name, data in odd_songs():
        yield f"odd {name}", data, SONG
    for make in (_lying_wavs, _lying_flacs, _lying_oggs, _lying_mp3s, _no_music, _not_audio):
        yield from make()
    rng = np.random.default_rng(seed)
    for suffix, data in (whole_files() | phone_files()).items():
        if suffix != ".aac":  # which does not say how long it is
            yield from _truncated(suffix, data)
        for kind, damage in _DAMAGES.items():
            for number in range(_FUZZED_OF_EACH):
                yield f"{kind} {number}{suffix}", damage(data, rng), ANY


def whole_files() -> dict[str, bytes]:
    """One good file of each format, by suffix; noise, so that no byte is idle."""
    sound = noise(1.2)
    return {
        ".wav": wav(int16(sound), rate=RATE),
        ".float.wav": wav(sound.astype(np.float32), tag=3, rate=RATE),
        ".flac": encoded(sound, RATE, "FLAC", "PCM_16"),
        ".ogg": encoded(sound, RATE, "OGG", "VORBIS"),
        ".opus": encoded(sound, 48_000, "OGG", "OPUS"),
        ".mp3": encoded(sound, RATE, "MP3", "MPEG_LAYER_III"),
        ".w64": encoded(sound, RATE, "W64", "PCM_16"),
        ".aiff": encoded(sound, RATE, "AIFF", "PCM_16"),
        ".caf": encoded(sound, RATE, "CAF", "ALAC_16"),
    }


def phone_files() -> dict[str, bytes]:
    """The same of the formats that libsndfile does not read."""
    sound = noise(1.2).astype(np.float32)
    return {
        ".m4a": by_ffmpeg(sound, RATE, "ipod", "aac"),
        ".aac": by_ffmpeg(sound, RATE, "adts", "aac"),
        ".webm": by_ffmpeg(sound, 48_000, "webm", "libopus"),
    }


def _truncated(suffix: str, data: bytes) -> Iterator[Case]:
    for count in (1, 4, 12, 30, 60, 200):
        yield f"first {count} bytes{suffix}", data[:count], BROKEN
    yield f"half{suffix}", data[: len(data) // 2], BROKEN
    for percent in (25, 75, 99):
        yield f"first {percent} percent{suffix}", data[: len(data) * percent // 100], ANY


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits[rng.integers(0, bits.size, 40)] ^= 1
    return np.packbits(bits).tobytes()


def _flip_header(data: bytes, rng: np.random.Generator) -> bytes:
    head = np.frombuffer(data[:200], np.uint8).copy()
    head[rng.integers(4, head.size, 6)] = rng.integers(0, 256, 6)
    return head.tobytes() + data[200:]


def _delete(data: bytes, rng: np.random.Generator) -> bytes:
    for _ in range(4):
        start = int(rng.integers(0, len(data)))
        data = data[:start] + data[start + int(rng.integers(1, 3000)) :]
    return data


def _insert(data: bytes, rng: np.random.Generator) -> bytes:
    for _ in range(4):
        start = int(rng.integers(0, len(data)))
        data = data[:start] + rng.bytes(int(rng.integers(1, 3000))) + data[start:]
    return data


_DAMAGES: Mapping[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flipped": _flip,
    "header": _flip_header,
    "deleted": _delete,
    "inserted": _insert,
}


def _lying_wavs() -> Iterator[Case]:
    samples, floats = int16(music(8000)), music(8000).astype(np.float32)
    for channels in (0, 257, 1024, 65_535):
        yield f"{channels} channels claimed.wav", wav(samples, channels=channels), BROKEN
    for rate in (0, 1, 3999, 768_001, 2**31 - 1, 2**31, 2**32 - 1):
        yield f"rate {rate} claimed.wav", wav(samples, rate=rate), BROKEN
    for bits in (0, 1, 65, 65_535):
        yield f"{bits} bits claimed.wav", wav(samples, bits=bits), ANY
    for align in (0, 1, 65_535):
        yield f"align {align} claimed.wav", wav(samples, align=align), ANY
    for tag in (0, 2, 0x55, 0x674F, 0xFFFE, 0xFFFF):
        yield f"format tag {tag} claimed.wav", wav(samples, tag=tag), ANY
    for bits in (8, 16, 24):
        yield f"float of {bits} bits.wav", wav(floats, tag=3, bits=bits), ANY
    yield "data of 0 bytes claimed.wav", wav(samples, data_size=0), SONG
    yield "data of 100 bytes claimed.wav", wav(samples, data_size=100), SONG
    yield "data of 1 GB claimed.wav", wav(samples, data_size=2**30, riff_size=2**30), "truncated"
    yield "riff of 1 GB claimed.wav", wav(samples, riff_size=2**30), SONG
    yield "no data chunk.wav", riff_chunk(b"RIFF", b"WAVE" + wav(samples)[12:36]), BROKEN
    yield "no fmt chunk.wav", riff_chunk(b"RIFF", b"WAVE" + wav(samples)[36:]), BROKEN
    yield "list longer than the file.wav", wav(samples, before=b"LIST" + struct.pack("<I", 2**31)), BROKEN
    yield "list without end.wav", wav(samples, before=riff_chunk(b"LIST", b"INFO", 2**32 - 1)), BROKEN
    yield "a million chunks.wav", wav(samples, before=riff_chunk(b"junk", b"") * 1_000_000), ANY
    yield "rf64 of 2^63 bytes.wav", _rf64(samples, 2**63 - 1), ANY
    for name, value in {"nan": np.nan, "inf": np.inf, "minus inf": -np.inf}.items():
        for place in (0, floats.shape[0] // 2, -1):
            broken = floats.copy()
            broken[place, -1] = value
            yield f"{name} at {place}.wav", wav(broken, tag=3), "not_finite"
    yield "all nan.wav", wav(np.full_like(floats, np.nan), tag=3), "not_finite"
    yield "nan of 64 bits.wav", wav(np.full((12_000, 1), np.nan), tag=3), "not_finite"
    yield "double beyond float.wav", wav(np.full((12_000, 1), 1e300), tag=3), "not_finite"
    yield "integers as floats.wav", wav(floats * 32_768, tag=3), "out_of_range"
    yield "largest floats.wav", wav(np.full_like(floats, 3e38), tag=3), "out_of_range"


def _rf64(samples: np.ndarray, size: int) -> bytes:
    sizes = riff_chunk(b"ds64", struct.pack("<QQQI", size, size, size, 0))
    plain = wav(samples, data_size=2**32 - 1)
    return b"RF64" + struct.pack("<I", 2**32 - 1) + b"WAVE" + sizes + plain[12:]


def _lying_flacs() -> Iterator[Case]:
    hour = 2637
    yield "bomb of an hour.flac", flac(hour), "too_long too_large"
    yield "bomb of unknown length.flac", flac(hour, total=0), "too_long too_large"
    yield "bomb of 8 channels.flac", flac(hour // 14), "too_large"
    yield "bomb that claims a second.flac", flac(hour, total=48_000), "too_long too_large"
    yield "2^36 samples claimed.flac", flac(10, total=2**36 - 1), "truncated"
    yield "a minute claimed.flac", flac(600, block=120, level=8000, total=60 * 48_000), "truncated unreadable"
    for rate in (0, 1, 1_048_575):
        yield f"rate {rate} claimed.flac", flac(100, block=960, rate=rate, level=8000), BROKEN
    song = bytearray(flac(600, block=120, level=8000))
    for place in (8, 18, 20, 21, 42, 44, 46):
        yield f"byte {place} wrong.flac", bytes(song[:place]) + bytes([song[place] ^ 0xFF]) + song[place + 1 :], ANY
    picture = b"\x06" + (2**24 - 1).to_bytes(3, "big") + b"\0" * 100
    yield "picture longer than the file.flac", bytes(song[:4]) + b"\0" + bytes(song[5:42]) + picture, BROKEN


def _lying_oggs() -> Iterator[Case]:
    data = encoded(noise(1.2), RATE, "OGG", "VORBIS")
    pages = ogg_pages(data)
    whole = [bytes(page) for page in pages]
    for granule in (0, 2**40, 2**62, 2**63, 2**64 - 1):
        last = pages[-1].copy()
        last[OGG_GRANULE] = struct.pack("<Q", granule)
        yield f"granule {granule}.ogg", b"".join(whole[:-1]) + ogg_sealed(last), ANY
    wrong = pages[-1].copy()
    wrong[22] ^= 0xFF
    yield "checksum of a page.ogg", b"".join(whole[:-1]) + bytes(wrong), ANY
    wrong = pages[0].copy()
    wrong[22] ^= 0xFF
    yield "checksum of the first page.ogg", bytes(wrong) + b"".join(whole[1:]), BROKEN
    endless = pages[-1].copy()
    endless[OGG_FLAGS] &= ~4
    yield "no end.ogg", b"".join(whole[:-1]) + ogg_sealed(endless), "truncated"
    yield "no first page.ogg", b"".join(whole[1:]), BROKEN
    yield "headers only.ogg", b"".join(whole[:2]), BROKEN
    yield "pages backwards.ogg", b"".join(whole[::-1]), BROKEN
    yield "a page a hundred times.ogg", b"".join(whole[:-1]) + whole[-1] * 100, ANY
    yield "two songs in a chain.ogg", data + encoded(music(8000, 1), 8000, "OGG", "VORBIS"), ANY
    yield "page marks without pages.ogg", data + b"OggS" * (len(data) // 4), "unreadable"
    yield "garbage behind.ogg", data + np.random.default_rng(1).bytes(100_000), ANY


def _lying_mp3s() -> Iterator[Case]:
    data = encoded(noise(1.2), RATE, "MP3", "MPEG_LAYER_III")
    contents, *frames = mp3_frames(data)
    rng = np.random.default_rng(2)
    at = contents.index(b"Xing") + 8 if b"Xing" in contents else contents.index(b"Info") + 8
    for count in (0, 1, 2**20, 2**32 - 1):
        lying = contents[:at] + struct.pack(">I", count) + contents[at + 4 :]
        yield f"{count} frames claimed.mp3", lying + b"".join(frames), ANY
    yield "tag only.mp3", id3(5000), BROKEN
    yield "tag longer than the file.mp3", id3(0, promised=2**28 - 1) + data, ANY
    yield "a hundred tags.mp3", id3(10) * 100 + data, ANY
    yield "garbage between frames.mp3", b"".join(frame + rng.bytes(50) for frame in frames), ANY
    yield "headers without frames.mp3", b"".join(frame[:4] for frame in frames) * 500, ANY
    yield "frames cut.mp3", b"".join(frame[: len(frame) // 2] for frame in frames), ANY
    yield "garbage before.mp3", rng.bytes(200_000) + data, ANY
    slow = encoded(music(22_050, 1), 22_050, "MP3", "MPEG_LAYER_III")
    yield "rate and channels change.mp3", b"".join(frames) + slow + b"".join(frames), ANY


def _no_music() -> Iterator[Case]:
    zeros = np.zeros((2 * RATE, 2))
    for suffix, container, subtype in (
        ("wav", "WAV", "PCM_16"),
        ("flac", "FLAC", "PCM_24"),
        ("ogg", "OGG", "VORBIS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
    ):
        yield f"silence.{suffix}", encoded(zeros, RATE, container, subtype), "silent"
        yield f"no samples.{suffix}", encoded(zeros[:0], RATE, container, subtype), "empty unreadable"
        yield f"a tenth of a second.{suffix}", encoded(music(seconds=0.1), RATE, container, subtype), "too_short"
    yield "one sample.wav", wav(np.ones((1, 1), np.int16)), "too_short"
    yield "dither.wav", encoded(noise() / 2**14, RATE, "WAV", "PCM_16"), "silent"
    yield "offset only.wav", encoded(zeros + 0.5, RATE, "WAV", "FLOAT"), "silent"


def _not_audio() -> Iterator[Case]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("song.wav", encoded(music(), RATE, "WAV", "PCM_16"))
    rng = np.random.default_rng(3)
    contents = {
        "nothing": b"",
        "one byte": b"R",
        "text": b"these are words\n" * 400,
        "page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
        "json": b'{"error": "no such song"}',
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + rng.bytes(3000),
        "zip": archive.getvalue(),
        "gzip": b"\x1f\x8b\x08" + rng.bytes(3000),
        "m4a": b"\0\0\0 ftypM4A \0\0\0\0M4A mp42isom" + rng.bytes(50_000),
        "wma": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + rng.bytes(50_000),
        "midi": b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk" + rng.bytes(500),
        "matlab": b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\0\1IM" + rng.bytes(3000),
        "nist": b"NIST_1A\n   1024\nchannel_count -i 999999\nend_head\n" + bytes(1024),
        "random": rng.bytes(100_000),
        "zeros": bytes(100_000),
        "ones": b"\xff" * 100_000,
        "mp3 sync": b"\xff\xfb\x90\x64" * 25_000,
    }
    for index, (name, data) in enumerate(contents.items()):
        yield f"{name} is not audio.{('wav', 'flac', 'ogg', 'mp3')[index % 4]}", data, f"{BROKEN} silent"


def _traps(root: Path) -> dict[str, Expected]:
    """Names in the file system that are no files."""
    (root / "directory.wav").mkdir()
    (root / "loop.wav").symlink_to("loop.wav")
    (root / "dangling.flac").symlink_to("nowhere.flac")
    (root / "endless.wav").symlink_to("/dev/zero")
    with (root / "sparse.wav").open("wb") as file:
        file.write(wav(int16(music(8000))))
        file.truncate(5_000_000_000)
    return {
        "directory.wav": frozenset({"unreadable"}),
        "loop.wav": frozenset({"unreadable"}),
        "dangling.flac": frozenset({"missing"}),
        "endless.wav": frozenset({"unreadable"}),
        "sparse.wav": frozenset({"too_large"}),
    }
