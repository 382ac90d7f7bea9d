"""Tiny real models and short songs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from models.audio.files import Audio, encode_audio
from models.codec.codec import build_codec
from models.codec.quantizer import start_codebooks
from models.codec.size import CodecSize
from models.separation import SeparatorSize, build_htdemucs, save_separator


@dataclass(frozen=True)
class TinyModels:
    """Directories of a separator and of codecs (bass:1, drums:1, other:2), random weights."""

    separator: str
    codecs: str


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    size = SeparatorSize(
        sources=("drums", "bass", "other", "vocals"),
        segment=1.0,
        channels=8,
        depth=3,
        nfft=1024,
        transformer_layers=0,
        convolution_depth=1,
    )
    save_separator(build_htdemucs(size), root / "separator")
    for name, codebooks in (("bass", 1), ("drums", 1), ("other", 2)):
        codec = build_codec(CodecSize(filters=4, latent=16, cardinality=32, lstm_layers=1), codebooks)
        # Drawn codebooks would give every sound the same codes.
        sound = torch.from_numpy(noise(1, seconds=4.0, rate=32000, channels=1).samples)[None]
        start_codebooks(codec.network.quantizer, codec.latent(sound), seed=0)
        codec.save(root / "codecs" / name)
    return TinyModels(str(root / "separator"), str(root / "codecs"))


def noise(seed: int, seconds: float = 1.5, rate: int = 44100, channels: int = 2) -> Audio:
    """An unmusical song: noise bursts over a tone."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (80 + 7 * seed) * time)
    bursts = rng.standard_normal((channels, len(time))) * (np.sin(2 * np.pi * 2 * time) > 0)
    return Audio((0.2 * tone + 0.1 * bursts).astype(np.float32), rate)


def put_song(path: Path, audio: Audio) -> Path:
    """Write a song in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_audio(audio, path.suffix[1:]))  # type: ignore[arg-type]
    return path
