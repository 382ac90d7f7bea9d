"""Audio in and out: read, resample, measure, write."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from models.audio.containers.ogg import with_fixed_serial
from models.audio.containers.sound import SoundStream
from models.audio.reading import Bounds, open_header, open_sound, read_samples
from models.errors import StemsError
from models.files.partial import hidden

AudioFormat = Literal["wav", "flac", "opus", "ogg", "mp3"]

_SUBTYPES: dict[str, tuple[str, str]] = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "opus": ("OGG", "OPUS"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
FORMATS = tuple(_SUBTYPES)

# Opus supports this rate and fractions of it.
_OPUS_RATE = 48_000

_STEPS = 32768.0  # of 16 bits, from zero to full scale

# libsndfile's Vorbis encoder overflows its stack on long single writes.
_WRITE_BLOCK = 65_536

# Samples of the file around an excerpt that resampling needs, up to 192 kHz.
_CONTEXT = 2048

# More samples than any file has.
_ANY = 2**63 - 1

# Values measured together.
_MEASURED = 2**18

_FULL_SCALE = np.float32(1 - 2**-15)
_SILENCE_BLOCK_S, _SILENCE_RMS = 0.05, 1e-3  # -60 dBFS

# Length of a gating block; seconds measured together, and lead-in seconds for the meter's filters to settle.
_LOUDNESS_BLOCK_S = 0.4
_LOUDNESS_PART_S, _LOUDNESS_LEAD_S = 60, 2


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
    """Properties of a file: rate in Hz, channels, length in seconds (0 where only decoding shows it), container."""

    rate: int
    channels: int
    seconds: float
    format: str


def audio_info(source: str | Path | bytes, *, name: str = "") -> AudioInfo:
    """Measure a file without decoding it; the length comes from counting its frames, where they can be counted.

    Raises:
        StemsError: with code ``missing``, ``empty``, ``unreadable``, ``truncated`` or ``unsupported``.
    """
    with open_sound(source, _label(source, name)) as sound:
        return _info(sound)


def header_info(source: str | Path | bytes, *, name: str = "") -> AudioInfo:
    """Read only the header, of a file or its first bytes; it is not compared with the content.

    Raises the errors of :func:`audio_info`, except ``truncated``.
    """
    with open_header(source, _label(source, name)) as sound:
        return _info(sound)


def read_audio(
    source: str | Path | bytes, *, name: str = "", max_seconds: float | None = None, max_bytes: int | None = None
) -> Audio:
    """Decode a whole file or its bytes, in any format of :data:`models.audio.formats.READ_SUFFIXES`.

    Args:
        source: a path, or the file's bytes.
        name: its name in errors; the path by default.
        max_seconds: refuse longer audio before it fills the memory.
        max_bytes: likewise refuse audio that takes more memory when decoded, at 4 bytes per sample and channel.

    Raises:
        StemsError: with code ``missing``, ``empty``, ``unreadable``, ``truncated``, ``unsupported`` (4 to 768 kHz and
            up to 256 channels are supported), ``too_long``, ``too_large``, ``not_finite`` or ``out_of_range``.
    """
    label, bounds = _label(source, name), Bounds(max_seconds, max_bytes)
    with open_sound(source, label) as sound:
        bounds.check(sound, sound.promised, label)
        # Headers may be wrong or silent about the length: read one sample beyond the limit, and no more.
        samples = read_samples(sound, bounds.samples(sound) + 1, label)
        bounds.check(sound, samples.shape[1], label, at_least=True)
        return Audio(samples, sound.rate)


def read_excerpt(source: str | Path, rate: int, start: int, samples: int) -> Audio:
    """Samples ``start`` to ``start + samples`` of a file at ``rate`` Hz; seekable files are decoded only there.

    They equal those of ``read_audio(source).resample(rate)`` within 1e-5. There are fewer where the file ends.
    Raises the errors of :func:`read_audio`.
    """
    label = _label(source, "")
    with open_sound(source, label) as sound:
        if not sound.frames:
            whole = Audio(read_samples(sound, _ANY, label), sound.rate).resample(rate)
            return Audio(whole.samples[:, start : start + samples], rate)
        # Both rates have a sample at the same instant once in `grid` samples of the file.
        frames, shared = sound.frames, math.gcd(sound.rate, rate)
        grid, context = sound.rate // shared, 0 if sound.rate == rate else _CONTEXT
        first = max(0, start * sound.rate // rate - context) // grid
        stop = min(frames, -(-(start + samples) * sound.rate // rate) + context)
        sound.seek(min(first * grid, frames))
        around = Audio(read_samples(sound, max(0, stop - first * grid), label), sound.rate).resample(rate)
    offset = start - first * (rate // shared)
    return Audio(around.samples[:, offset : offset + samples], rate)


def _info(sound: SoundStream) -> AudioInfo:
    return AudioInfo(sound.rate, sound.channels, sound.promised / sound.rate, sound.format)


def encode_audio(audio: Audio, format: AudioFormat = "wav") -> bytes:
    """The bytes of an audio file; samples outside [-1, 1] are clipped.

    WAV and FLAC are 16 bit, and both hold the samples of :func:`in_16_bits`. Opus is at 48 kHz for audio of any rate.
    The same audio gives the same bytes.
    """
    if format not in _SUBTYPES:
        raise StemsError(f"'{format}' is not an audio format.", f"Use one of {', '.join(FORMATS)}.", field="format")
    container, subtype = _SUBTYPES[format]
    if format == "opus":
        audio = audio.resample(_OPUS_RATE)
    samples = in_16_bits(audio.samples).T if subtype == "PCM_16" else np.clip(audio.samples, -1.0, 1.0).T
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", samplerate=audio.rate, channels=samples.shape[1], format=container, subtype=subtype
    ) as file:
        for start in range(0, len(samples), _WRITE_BLOCK):
            file.write(samples[start : start + _WRITE_BLOCK])
    data = buffer.getvalue()
    return with_fixed_serial(data) if container == "OGG" else data


def encode_float_wav(audio: Audio) -> bytes:
    """The bytes of a WAV file of 32-bit floats: each sample as it is, also outside [-1, 1]."""
    from scipy.io import wavfile  # libsndfile writes the time into such files; SciPy takes seconds to import

    buffer = io.BytesIO()
    wavfile.write(buffer, audio.rate, np.ascontiguousarray(audio.samples.T, dtype=np.float32))
    return buffer.getvalue()


def in_16_bits(samples: np.ndarray) -> np.ndarray:
    """Samples as int16, on the scale that reading uses."""
    return np.clip(np.rint(samples * _STEPS), -_STEPS, _STEPS - 1).astype(np.int16)


def write_audio(path: Path, audio: Audio) -> None:
    """Write a file in the format of its suffix; it appears whole or not at all."""
    data = encode_audio(audio, path.suffix.lower().lstrip("."))  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = hidden(path)
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def safe_gain(*signals: np.ndarray) -> float:
    """The factor, at most 1, that keeps every signal's peak within [-1, 1]."""
    peak = max(float(np.abs(signal).max(initial=0.0)) for signal in signals)
    return 1.0 if peak <= 1.0 else 1.0 / peak


def loudness(audio: Audio) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770); minus infinity for silence or less than 0.4 s.

    For more than two channels, that of :meth:`Audio.stereo`.
    """
    if audio.seconds < _LOUDNESS_BLOCK_S or not audio.samples.any():
        return float("-inf")
    levels = _block_levels(audio if audio.samples.shape[0] <= 2 else audio.stereo())
    heard = levels[levels > -70]  # the standard's absolute gate; the relative gate is 10 LU below the rest
    kept = heard[heard > _mean_level(heard) - 10]
    return _mean_level(kept)


def clipped(audio: Audio) -> float:
    """Share of the samples, of all channels, that are clipped: in [0, 1].

    Samples are clipped if at least three in a row of one channel and sign are at 16-bit full scale or beyond,
    |x| >= 1 - 2^-15. A peak that just reaches full scale, as in a normalized song, has one or two.
    """
    count = 0
    for channel in audio.samples:
        for start in range(0, channel.size, _MEASURED):
            # Two more on each side, so that runs may cross the border.
            before = min(2, start)
            around = channel[start - before : start + _MEASURED + 2]
            if max(around.max(), -around.min()) >= _FULL_SCALE:
                runs = _in_runs(around >= _FULL_SCALE) | _in_runs(around <= -_FULL_SCALE)
                count += int(runs[before : before + _MEASURED].sum())
    return count / max(1, audio.samples.size)


def silence(audio: Audio) -> float:
    """Silent share of the time, in [0, 1]; 1 for empty audio.

    A block of 50 ms (the last one may be shorter) is silent if every channel's RMS, about its mean in that block, is
    below -60 dBFS: 16-bit quantization noise is silence, and so is a constant offset.
    """
    size, total = max(1, round(audio.rate * _SILENCE_BLOCK_S)), audio.samples.shape[1]
    silent, step = 0, size * max(1, _MEASURED // size)
    for start in range(0, total, step):
        part = audio.samples[:, start : start + step]
        whole = part.shape[1] // size * size
        loud = _deviation(part[:, :whole].reshape(len(part), -1, size)) >= _SILENCE_RMS
        silent += size * int((~loud.any(axis=0)).sum())
        if whole < part.shape[1] and not (_deviation(part[:, whole:]) >= _SILENCE_RMS).any():
            silent += part.shape[1] - whole
    return silent / total if total else 1.0


def _block_levels(audio: Audio) -> np.ndarray:
    """LUFS of 0.4 s blocks, every 0.1 s. Measured in parts: the meter needs three times the memory of its input."""
    import pyloudnorm  # brings SciPy, which takes seconds to import and few callers need

    meter, levels = pyloudnorm.Meter(audio.rate), []
    for start in range(0, math.ceil(audio.seconds), _LOUDNESS_PART_S):
        first = max(0, start - _LOUDNESS_LEAD_S)
        stop = round((start + _LOUDNESS_PART_S + _LOUDNESS_BLOCK_S - 0.1) * audio.rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meter.integrated_loudness(audio.samples[:, first * audio.rate : stop].T)
        levels += meter.blockwise_loudness[10 * (start - first) :]
    return np.array(levels)


def _mean_level(levels: np.ndarray) -> float:
    """The level of the mean power; minus infinity for none."""
    return 10 * math.log10(np.mean(10 ** (levels / 10))) if levels.size else float("-inf")


def _in_runs(full: np.ndarray) -> np.ndarray:
    """Booleans ``[n]``: which of ``full`` belong to a run of at least three."""
    runs = np.zeros_like(full)
    three = full[:-2] & full[1:-1] & full[2:]
    for shift in range(3):
        runs[shift : shift + three.size] |= three
    return runs


def _deviation(blocks: np.ndarray) -> np.ndarray:
    """Standard deviation along the last axis: the RMS without the mean."""
    return np.std(blocks, axis=-1, dtype=np.float32)


def _label(source: str | Path | bytes, name: str) -> str:
    return name or ("audio" if isinstance(source, bytes) else str(source))
