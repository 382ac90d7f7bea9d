"""Audio to upload: files, bytes, samples, and folders of stems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from models.audio.files import Audio, encode_audio
from models.audio.stem_files import check_once, sound_files, without_mix
from models.errors import StemsError

Sound: TypeAlias = str | Path | bytes | Audio | tuple[np.ndarray, int]
"""An audio file by its path or its bytes; or samples, ``[n]`` or ``[channels, n]``, with their rate in Hz."""

_MAX_CHANNELS = 256


def read_sound(sound: Sound, field: str) -> tuple[str, bytes]:
    """The name and the bytes of a file to send; StemsError names the field if it is not audio."""
    if isinstance(sound, str | Path):
        return Path(sound).name, _bytes(Path(sound), field)
    if isinstance(sound, bytes):
        return field, sound
    audio = sound if isinstance(sound, Audio) else Audio(_samples(sound[0], field), sound[1])
    return f"{field}.wav", encode_audio(audio, "wav")


def folder_sounds(folder: str | Path) -> dict[str, Path]:
    """The stems in a folder, such as the client saves: all its audio files but the mix, by their names.

    Raises:
        StemsError: it is not a folder, has no stems, has one twice, or has audio in another format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StemsError(f"'{folder}' is no folder.", "Give a folder of stems.", code="missing", field="stems")
    files = without_mix(sound_files(folder))
    check_once(files)
    if not files:
        hint = "Name audio files after the stems, as in bass.wav."
        raise StemsError(f"'{folder}' has no stems.", hint, code="missing", field="stems")
    return {file.stem: file for file in files}


def named_sounds(stems: str | Path | Mapping[str, Sound]) -> Mapping[str, Sound]:
    """Stems by name, from a mapping or a folder."""
    return stems if isinstance(stems, Mapping) else folder_sounds(stems)


def _bytes(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"'{path}' cannot be read: {error.strerror or error}."
        raise StemsError(what, "Give an audio file.", code="missing", field=field) from error


def _samples(samples: np.ndarray, field: str) -> np.ndarray:
    """Samples in the encoder's form: float32 ``[channels, n]``."""
    samples = np.asarray(samples)
    wide = samples[np.newaxis] if samples.ndim == 1 else samples
    if wide.ndim != 2 or not 1 <= wide.shape[0] <= min(_MAX_CHANNELS, wide.shape[1]):
        hint = "Give [samples], or [channels, samples]."
        raise StemsError(f"The samples of '{field}' have the shape {list(samples.shape)}.", hint, field=field)
    if wide.dtype == np.int16:
        return wide.astype(np.float32) / np.float32(2**15)
    if not np.issubdtype(wide.dtype, np.floating):
        hint = "Give floats in [-1, 1], or int16."
        raise StemsError(f"The samples of '{field}' are {wide.dtype}.", hint, field=field)
    if not np.isfinite(wide).all():
        raise StemsError(
            f"The samples of '{field}' are not all finite.", "Clean them.", code="not_finite", field=field
        )
    return wide.astype(np.float32)
