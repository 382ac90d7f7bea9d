"""A song as a folder: one file a stem, the mix, and a manifest."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.audio.files import Audio, encode_audio, read_audio, safe_gain
from models.audio.stem_files import stems_in
from models.files.output_folder import replacing
from models.files.output_listing import MANIFEST, is_song
from models.song.song import Song
from models.stems import StemLayout


def manifest(song: Song, model_digest: str, gain: float, files: Sequence[str]) -> dict[str, Any]:
    """What the song is and how to make it again; ``gain`` is what all its ``files`` were scaled by."""
    return {
        "prompt": song.prompt,
        "seed": song.seed,
        "precision": song.precision,
        "seconds": round(song.seconds, 3),
        "sample_rate": song.rate,
        "stems": list(song.stems),
        "layout": str(song.layout),
        "model": model_digest,
        "gain": gain,
        "files": [*files, MANIFEST],
    }


def write_song(folder: Path, song: Song, model_digest: str) -> None:
    """Write ``<stem>.wav``, ``mix.wav``, ``codes.npy`` and ``manifest.json``, all of them or none.

    A song of ours that is there is replaced; see :func:`models.files.output_folder.check_folder`.

    Where the mix or a stem would clip, all are scaled by one gain, so that the stems still sum up to the mix.
    """
    signals = {**song.stems, "mix": song.mix}
    gain = safe_gain(*signals.values())
    files = {
        f"{name}.wav": encode_audio(Audio(samples[None] * np.float32(gain), song.rate))
        for name, samples in signals.items()
    }
    codes = io.BytesIO()
    np.save(codes, song.codes)
    files["codes.npy"] = codes.getvalue()
    files[MANIFEST] = (json.dumps(manifest(song, model_digest, gain, list(files)), indent=2) + "\n").encode()
    with replacing(folder, sum(map(len, files.values())), listed=False, ours=is_song) as partial:
        for name, data in files.items():
            (partial / name).write_bytes(data)


def read_stems(folder: Path, layout: StemLayout) -> dict[str, Audio]:
    """The stems that a folder has a file for; StemsError as :func:`~models.audio.stem_files.stems_in`."""
    return {name: read_audio(file) for name, file in stems_in(folder, layout.names).items()}
