"""Songs that few would make so, and yet are: odd rates, channels, encodings and containers, all valid."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import soundfile
from helpers.containers import flac, id3, riff_chunk, wav

SECONDS, RATE = 1.5, 44_100

Sound = np.ndarray
"""Samples [n, channels], float64 in [-1, 1]."""


def music(rate: int = RATE, channels: int = 2, seconds: float = SECONDS, hertz: float = 440.0) -> Sound:
    """A sine of amplitude 0.5 in every channel, a little later in each."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * hertz * time[:, None] + 0.1 * np.arange(channels))


def encoded(sound: Sound, rate: int, container: str, subtype: str) -> bytes:
    """A well-formed file by libsndfile."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, sound.shape[1], subtype, format=container) as file:
        for start in range(0, len(sound), 16_384):  # its Vorbis encoder overflows its stack on more
            file.write(sound[start : start + 16_384])
    return buffer.getvalue()


def int16(sound: Sound) -> np.ndarray:
    """As 16-bit integers."""
    return np.round(sound * 32767).astype(np.int16)


def noise(seconds: float = SECONDS) -> Sound:
    """White noise of amplitude 0.5, in two channels."""
    return np.random.default_rng(7).uniform(-0.5, 0.5, (round(seconds * RATE), 2))


def odd_songs() -> Iterator[tuple[str, bytes]]:
    """File names and bytes."""
    for container, subtypes in {
        "WAV": "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW IMA_ADPCM MS_ADPCM",
        "WAVEX": "PCM_24",
        "RF64": "PCM_16 FLOAT",
        "W64": "PCM_24",
        "AIFF": "PCM_16 PCM_24",
        "AU": "PCM_16",
        "CAF": "PCM_24 ALAC_24",
        "FLAC": "PCM_S8 PCM_24",
    }.items():
        for subtype in subtypes.split():
            yield f"{container} {subtype}.wav", encoded(music(), RATE, container, subtype)
    yield "mono gsm.wav", encoded(music(8_000, 1), 8_000, "WAV", "GSM610")
    for rate in (8_000, 11_025, 16_000, 22_050, 48_000, 96_000, 192_000, 384_000):
        yield f"{rate} Hz.wav", encoded(music(rate), rate, "WAV", "PCM_16")
        yield f"{rate} Hz.flac", encoded(music(rate), rate, "FLAC", "PCM_24")
        if rate <= 192_000:
            yield f"{rate} Hz.ogg", encoded(music(rate), rate, "OGG", "VORBIS")
        if rate <= 48_000:
            yield f"{rate} Hz.mp3", encoded(music(rate), rate, "MP3", "MPEG_LAYER_III")
    for channels in (1, 3, 5, 6, 8, 16, 64, 256):
        yield f"{channels} channels.wav", encoded(music(8_000, channels), 8_000, "WAV", "PCM_16")
        if channels <= 8:
            yield f"{channels} channels.flac", encoded(music(8_000, channels), 8_000, "FLAC", "PCM_16")
            yield f"{channels} channels.ogg", encoded(music(8_000, channels), 8_000, "OGG", "VORBIS")
    yield "64 channels 44100 Hz.wav", encoded(music(RATE, 64), RATE, "WAV", "PCM_16")
    yield from _oddly_packed()
    yield "clipped noise.wav", encoded(np.clip(8 * noise(), -1, 1), RATE, "WAV", "PCM_16")
    yield "ten times too loud.wav", encoded(20 * music(), RATE, "WAV", "FLOAT")
    yield "quiet.flac", encoded(0.01 * music(), RATE, "FLAC", "PCM_24")
    yield "with offset.wav", encoded(0.4 + music(), RATE, "WAV", "FLOAT")


def _oddly_packed() -> Iterator[tuple[str, bytes]]:
    """Songs whose containers were written by streaming programs, taggers and copiers."""
    samples, sound = int16(music()), music()
    yield "to a pipe ff.wav", wav(samples, rate=RATE, data_size=2**32 - 1, riff_size=2**32 - 1)
    yield "to a pipe 7f.wav", wav(samples, rate=RATE, data_size=2**31 - 1, riff_size=2**32 - 1)
    yield "to a pipe by sox.wav", wav(samples, rate=RATE, data_size=0x7FFFF000, riff_size=0x7FFFF024)
    yield "riff size 0.wav", wav(samples, rate=RATE, riff_size=0)
    yield "huge list.wav", wav(samples, rate=RATE, before=riff_chunk(b"LIST", b"INFO" + bytes(4_000_000)))
    yield "unknown chunks.wav", wav(samples, rate=RATE, before=riff_chunk(b"what", bytes(77)) * 50)
    yield "bytes behind.wav", wav(samples, rate=RATE, after=riff_chunk(b"LIST", b"INFO") + b"\0" * 999)
    yield "byte rate lies.wav", wav(samples, rate=RATE, byte_rate=1)
    yield "align lies.wav", wav(samples, rate=RATE, align=3)
    yield "to a pipe.flac", flac(600, block=120, rate=48_000, channels=2, level=8000, total=0)
    yield "id3 before.mp3", id3(3_000_000) + encoded(sound, RATE, "MP3", "MPEG_LAYER_III")
    yield "id3 behind.mp3", encoded(sound, RATE, "MP3", "MPEG_LAYER_III") + b"TAG" + bytes(125)
    yield "wrong suffix.mp3", encoded(sound, RATE, "FLAC", "PCM_16")
