"""A song as a folder: one file a stem, the mix, and a manifest."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.audio.files import Audio, encode_audio, encode_float_wav, safe_gain
from models.files.output_folder import replacing
from models.files.output_listing import MANIFEST, is_song
from models.song.rest import REST
from models.song.song import Song
from models.stems import MIX

CODES = "codes.npy"


def manifest(song: Song, model_digest: str, sounds: Mapping[str, Audio], gain: float) -> dict[str, Any]:
    """What the song is and how to make it again; ``gain`` is what all its ``sounds`` were scaled by."""
    return {
        "prompt": song.prompt,
        "seed": song.seed,
        "precision": song.precision,
        "seconds": round(song.seconds, 3),
        "sample_rate": next(iter(sounds.values())).rate,
        "stems": list(song.stems),
        "rest": REST in sounds,
        "layout": str(song.layout),
        "model": model_digest,
        "gain": gain,
    }


def write_song(
    folder: Path, song: Song, model_digest: str, sounds: Mapping[str, Audio] | None = None, *, exact: bool = False
) -> None:
    """Write a file for each sound, ``mix.wav``, ``codes.npy`` and ``manifest.json``, all of them or none.

    A song of ours that is there is replaced; see :func:`models.files.output_folder.check_folder`.

    Args:
        folder: where to.
        song: what to write.
        model_digest: of the model that wrote it.
        sounds: its stems, and the rest where there is one, equally long and of one rate; by default the stems alone.
        exact: write 32-bit floats, which hold every sample as it is. Otherwise files have 16 bits, and where the mix
            or a stem would clip, all are scaled by one gain, so that the stems still sum up to the mix.
    """
    sounds = song.sounds if sounds is None else sounds
    signals = {**sounds, MIX: mix_of(sounds)}
    gain = 1.0 if exact else safe_gain(*(sound.samples for sound in signals.values()))
    files = {
        f"{name}.wav": encode_float_wav(sound)
        if exact
        else encode_audio(Audio(sound.samples * np.float32(gain), sound.rate))
        for name, sound in signals.items()
    }
    codes = io.BytesIO()
    np.save(codes, song.codes)
    files[CODES] = codes.getvalue()
    said = manifest(song, model_digest, sounds, gain) | {
        "files": [*files, MANIFEST],
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files[MANIFEST] = (json.dumps(said, indent=2) + "\n").encode()
    with replacing(folder, sum(map(len, files.values())), listed=False, ours=is_song) as partial:
        for name, data in files.items():
            (partial / name).write_bytes(data)


def mix_of(sounds: Mapping[str, Audio]) -> Audio:
    """The sum of sounds that are equally long, in as many channels as the widest has."""
    most = max(sound.samples.shape[0] for sound in sounds.values())
    wide = [
        np.repeat(sound.samples, most, axis=0) if sound.samples.shape[0] == 1 else sound.samples
        for sound in sounds.values()
    ]
    return Audio(np.stack(wide).sum(axis=0, dtype=np.float32), next(iter(sounds.values())).rate)
