"""The folders of docs/CATALOGS.md: as iTunes, a radio recorder, a DAW, Hugging Face and a bucket have them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import s3fs
from helpers.by_ffmpeg import by_ffmpeg
from helpers.containers import id3, wav
from helpers.lengths import chained
from helpers.odd_songs import encoded, int16

RATE = 44_100


def tune(seed: int, seconds: float = 6.0, rate: int = RATE) -> np.ndarray:
    """A song unlike the others: a chord with noise in bursts, float32 [n, 2]."""
    time = np.arange(round(seconds * rate)) / rate
    chord = np.sum([np.sin(2 * np.pi * (90 + 17 * seed) * ratio * time) for ratio in (1, 1.25, 1.5)], axis=0)
    bursts = np.random.default_rng(seed).standard_normal((len(time), 2)) * (np.sin(4 * np.pi * time) > 0)[:, None]
    return (0.1 * chord[:, None] + 0.1 * bursts).astype(np.float32)


def an_mp3(seed: int, seconds: float = 6.0, *, vbr: bool = True, xing: bool = True) -> bytes:
    """A song as MP3."""
    sound, header = tune(seed, seconds), str(int(xing))
    return by_ffmpeg(sound, RATE, "mp3", "libmp3lame", vbr=vbr, write_xing=header, id3v2_version="0")


def build_folders(root: Path) -> None:
    """Write ``itunes``, ``radio``, ``daw`` and ``huggingface`` below ``root``, and ``remastered``."""
    album, cover = root / "itunes" / "The Band" / "First Album", np.random.default_rng(0).bytes(300_000)
    album.mkdir(parents=True)
    cover = cover.replace(b"\xff", b"\xfe")
    (album / "01 Opening.mp3").write_bytes(id3(0, len(cover)) + cover + an_mp3(1, vbr=False, xing=False))
    (album / unicodedata.normalize("NFD", "02 Café.m4a")).write_bytes(by_ffmpeg(tune(2), RATE, "ipod", "aac"))
    (album / unicodedata.normalize("NFC", "02 Café.txt")).write_text(
        "an accordion in an empty café", encoding="utf-8"
    )
    (album / "03 Closing.mp3").write_bytes(an_mp3(3, xing=False))
    (album / "iTunes Artwork.jpg").write_bytes(b"\xff\xd8\xff")

    (root / "remastered").mkdir()
    for seed, name in ((31, "01 Opening.mp3"), (33, "03 Closing.mp3")):
        (root / "remastered" / name).write_bytes(an_mp3(seed))

    radio = root / "radio"
    radio.mkdir()
    links = [encoded(tune(seed), RATE, "OGG", "VORBIS") for seed in (4, 5)]
    (radio / "monday.ogg").write_bytes(chained(*links))
    (radio / "tuesday.wav").write_bytes(wav(int16(tune(6)), rate=RATE, data_size=0, riff_size=0))
    whole = an_mp3(7, 12.0)
    (radio / "wednesday.mp3").write_bytes(whole[: len(whole) // 2])

    song = root / "daw" / "Night Drive"
    song.mkdir(parents=True)
    for seed, stem in enumerate(("bass", "drums", "other"), start=8):
        (song / f"{stem}.wav").write_bytes(encoded(tune(seed), RATE, "WAV", "PCM_24"))

    dataset = root / "huggingface" / "train"
    dataset.mkdir(parents=True)
    for seed in (12, 13):
        (dataset / f"{seed}.flac").write_bytes(encoded(tune(seed), RATE, "FLAC", "PCM_16"))
    (dataset.parent / "metadata.csv").write_text(
        "file_name, Caption\ntrain/12.flac, a slow walk\ntrain/13.flac, a fast walk\n"
    )


def fill_bucket(filesystem: s3fs.S3FileSystem, bucket: str) -> None:
    """Two songs in a bucket, one of them below what looks like a folder."""
    filesystem.pipe_file(f"{bucket}/songs/one.opus", encoded(tune(20, rate=48_000), 48_000, "OGG", "OPUS"))
    filesystem.pipe_file(f"{bucket}/songs/live/two.webm", by_ffmpeg(tune(21, rate=48_000), 48_000, "webm", "libopus"))
    filesystem.pipe_file(f"{bucket}/songs/live/", b"")
