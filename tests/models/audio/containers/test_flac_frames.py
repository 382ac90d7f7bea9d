"""Whether a FLAC file is whole, by its two ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soundfile

from models.audio.containers.flac_frames import HEAD_BYTES, FlacStream


def flac(
    path: Any, samples: int, channels: int = 1, rate: int = 32000, kind: str = "noise", subtype: str = "PCM_16"
) -> bytes:
    rng = np.random.default_rng(samples)
    time = np.arange(samples)[:, None] / rate
    sounds = {
        "noise": rng.uniform(-1, 1, (samples, channels)),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time) * np.ones((1, channels)),
        "silence": np.zeros((samples, channels)),
    }
    soundfile.write(path, sounds[kind], rate, format="FLAC", subtype=subtype)
    return bytes(path.read_bytes())


def whole(data: bytes) -> bool:
    stream = FlacStream.parse(data[:HEAD_BYTES])
    return stream is not None and stream.ends_with(data[-stream.frame_bytes :])


@pytest.mark.parametrize("kind", ["noise", "tone", "silence"])
@pytest.mark.parametrize(
    ("channels", "rate", "subtype"),
    [(1, 32000, "PCM_16"), (2, 44100, "PCM_24"), (6, 96000, "PCM_16"), (1, 12345, "PCM_S8")],
)
def test_files_of_any_length_are_whole(tmp_path: Any, kind: str, channels: int, rate: int, subtype: str) -> None:
    for samples in (1, 100, 4095, 4096, 4097, 8192, 300_001):
        assert whole(flac(tmp_path / "a.flac", samples, channels, rate, kind, subtype)), samples


@pytest.mark.parametrize("kind", ["noise", "tone", "silence"])
def test_a_file_that_lost_its_end_is_not_whole(tmp_path: Any, kind: str) -> None:
    data = flac(tmp_path / "a.flac", 100_000, kind=kind)
    for cut in (1, 2, 7, 100, len(data) // 3, len(data) // 2, len(data) - 100, len(data) - 43, len(data)):
        assert not whole(data[: len(data) - cut]), cut
        assert not whole(data[: len(data) - cut] + bytes(cut)), cut


def test_an_end_of_another_file_is_not_its_own(tmp_path: Any) -> None:
    data, other = (flac(tmp_path / "a.flac", samples) for samples in (100_000, 120_000))
    assert not whole(data[:-50_000] + other[-50_000:])
    assert not whole(b"RIFF" + data[4:])
    broken = bytearray(data)
    broken[-10] ^= 1
    assert not whole(bytes(broken))
