"""Audio in and out: read, resample, measure, write. The only file that touches audio libraries."""

from __future__ import annotations

import io
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from models.errors import StemsError

AudioFormat = Literal["wav", "flac", "ogg", "mp3"]

_SUBTYPES: dict[str, tuple[str, str]] = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
FORMATS = tuple(_SUBTYPES)

# libsndfile's Vorbis encoder overflows its stack on long single writes.
_WRITE_BLOCK = 65_536

# What a resampled excerpt needs of the file around it, in samples of the file, up to 192 kHz.
_CONTEXT = 2048

# pyloudnorm needs one gating block.
_LOUDNESS_BLOCK_S = 0.4


@dataclass(frozen=True)
class Audio:
    """Samples, float32 ``[channels, n]`` in [-1, 1], and their rate in Hz."""

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.rate

    def mono(self) -> Audio:
        """One channel: the mean of all."""
        return Audio(self.samples.mean(axis=0, keepdims=True, dtype=np.float32), self.rate)

    def stereo(self) -> Audio:
        """Two channels: mono is doubled; of more than two channels, even ones go left and odd ones right."""
        channels = self.samples.shape[0]
        if channels == 2:
            return self
        if channels == 1:
            return Audio(np.repeat(self.samples, 2, axis=0), self.rate)
        sides = [self.samples[side::2].mean(axis=0, dtype=np.float32) for side in (0, 1)]
        return Audio(np.stack(sides), self.rate)

    def resample(self, rate: int) -> Audio:
        """The same sound at another rate (soxr, high quality: aliases below -138 dB)."""
        if rate == self.rate:
            return self
        return Audio(soxr.resample(self.samples.T, self.rate, rate, quality="HQ").T.astype(np.float32), rate)


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: rate in Hz, channels, length in seconds, container format."""

    rate: int
    channels: int
    seconds: float
    format: str


def audio_info(source: str | Path | bytes, *, name: str = "") -> AudioInfo:
    """Read the header only. StemsError with code ``unreadable`` or ``empty``."""
    with _open(source, name) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames / file.samplerate, file.format)


def read_audio(source: str | Path | bytes, *, name: str = "", max_seconds: float | None = None) -> Audio:
    """Decode a whole file or its bytes (WAV, FLAC, OGG, MP3 …).

    Args:
        source: a path, or the file's bytes.
        name: what to call it in errors; the path by default.
        max_seconds: refuse longer audio before it fills the memory.

    Raises:
        StemsError: with code ``unreadable``, ``empty``, ``too_long`` or ``not_finite``.
    """
    label = _label(source, name)
    with _open(source, name) as file:
        seconds = file.frames / file.samplerate
        limit = -1 if max_seconds is None else int(max_seconds * file.samplerate)
        if 0 <= limit < file.frames:
            raise StemsError(
                f"'{label}' lasts {seconds:.0f} s; at most {max_seconds:.0f} s is taken.",
                "Cut it, or raise the limit.",
                code="too_long",
            )
        # Headers lie: never read more than the limit allows.
        return _read(file, limit if limit < 0 else limit + 1, label)


def read_excerpt(source: str | Path, rate: int, start: int, samples: int) -> Audio:
    """Samples ``start`` to ``start + samples`` of a file at ``rate`` Hz, without decoding the rest of it.

    They are those of ``read_audio(source).resample(rate)`` within 1e-5. Fewer come back where the file ends.
    Raises what :func:`read_audio` does.
    """
    label = _label(source, "")
    with _open(source, "") as file:
        # Both rates have a sample at the same instant once in `grid` samples of the file.
        shared = math.gcd(file.samplerate, rate)
        grid, context = file.samplerate // shared, 0 if file.samplerate == rate else _CONTEXT
        first = max(0, start * file.samplerate // rate - context) // grid
        stop = min(file.frames, -(-(start + samples) * file.samplerate // rate) + context)
        try:
            file.seek(min(first * grid, file.frames))
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise _unreadable(label, error) from error
        around = _read(file, max(0, stop - first * grid), label).resample(rate)
    offset = start - first * (rate // shared)
    return Audio(around.samples[:, offset : offset + samples], rate)


def _read(file: soundfile.SoundFile, count: int, label: str) -> Audio:
    """The next ``count`` samples, all for -1."""
    try:
        samples = file.read(count, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _unreadable(label, error) from error
    if len(samples) == 0:
        raise StemsError(f"'{label}' holds no audio.", "Replace it by a complete file.", code="empty")
    if not np.isfinite(samples).all():
        raise StemsError(f"'{label}' has samples that are not numbers.", "Export it again.", code="not_finite")
    return Audio(np.ascontiguousarray(samples.T), file.samplerate)


def encode_audio(audio: Audio, format: AudioFormat = "wav") -> bytes:
    """The bytes of an audio file. WAV and FLAC are 16 bit; samples outside [-1, 1] are clipped."""
    if format not in _SUBTYPES:
        raise StemsError(f"'{format}' is not an audio format.", f"Use one of {', '.join(FORMATS)}.", field="format")
    container, subtype = _SUBTYPES[format]
    samples = np.clip(audio.samples, -1.0, 1.0).T
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", samplerate=audio.rate, channels=samples.shape[1], format=container, subtype=subtype
    ) as file:
        for start in range(0, len(samples), _WRITE_BLOCK):
            file.write(samples[start : start + _WRITE_BLOCK])
    return buffer.getvalue()


def write_audio(path: Path, audio: Audio) -> None:
    """Write a file in the format of its suffix; it appears whole or not at all."""
    data = encode_audio(audio, path.suffix.lower().lstrip("."))  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def safe_gain(*signals: np.ndarray) -> float:
    """The factor, at most 1, that keeps every signal's peak within [-1, 1]."""
    peak = max(float(np.abs(signal).max(initial=0.0)) for signal in signals)
    return 1.0 if peak <= 1.0 else 1.0 / peak


def loudness(audio: Audio) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770); minus infinity for silence or less than 0.4 s."""
    import pyloudnorm  # brings SciPy, which takes seconds to import and few callers need

    if audio.seconds < _LOUDNESS_BLOCK_S or not audio.samples.any():
        return float("-inf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The meter takes at most five channels.
        measured = audio if audio.samples.shape[0] <= 2 else audio.stereo()
        return float(pyloudnorm.Meter(audio.rate).integrated_loudness(measured.samples.T))


def _open(source: str | Path | bytes, name: str) -> soundfile.SoundFile:
    label = _label(source, name)
    try:
        empty = len(source) == 0 if isinstance(source, bytes) else Path(source).stat().st_size == 0
        if empty:
            raise StemsError(f"'{label}' is an empty file.", "Replace it by a complete file.", code="empty")
        return soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else str(source))
    except FileNotFoundError as error:
        raise StemsError(f"There is no file '{label}'.", "Check the path.", code="missing") from error
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError) as error:
        raise _unreadable(label, error) from error


def _label(source: str | Path | bytes, name: str) -> str:
    return name or ("audio" if isinstance(source, bytes) else str(source))


def _unreadable(label: str, error: Exception) -> StemsError:
    reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
    if reason.startswith("File does not exist"):  # what libsndfile says of an MP3 without one whole frame
        reason = "it is cut short"
    return StemsError(
        f"'{label}' cannot be read as audio ({reason}).",
        f"Give a whole file in one of these formats: {', '.join(FORMATS)}.",
        code="unreadable",
    )
