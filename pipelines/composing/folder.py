"""A song as a folder: one file a stem, the mix, and a manifest."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from models.audio import Audio, read_audio, safe_gain, write_audio
from models.song import Song
from models.stem_files import stems_in
from models.stems import StemLayout


def manifest(song: Song, model_digest: str, gain: float) -> dict[str, Any]:
    """What the song is and how to make it again; ``gain`` is what all its files were scaled by."""
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
    }


def write_song(folder: Path, song: Song, model_digest: str) -> None:
    """Write ``<stem>.wav``, ``mix.wav``, ``codes.npy`` and ``manifest.json``, all of them or none.

    Where the mix or a stem would clip, all are scaled by one gain, so that the stems still sum up to the mix.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    signals = {**song.stems, "mix": song.mix}
    gain = safe_gain(*signals.values())
    for name, samples in signals.items():
        write_audio(partial / f"{name}.wav", Audio(samples[None] * np.float32(gain), song.rate))
    np.save(partial / "codes.npy", song.codes)
    (partial / "manifest.json").write_text(
        json.dumps(manifest(song, model_digest, gain), indent=2) + "\n", encoding="utf-8"
    )
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)


def read_stems(folder: Path, layout: StemLayout) -> dict[str, Audio]:
    """The stems that a folder has a file for; StemsError as :func:`~models.stem_files.stems_in`."""
    return {name: read_audio(file) for name, file in stems_in(folder, layout.names).items()}
