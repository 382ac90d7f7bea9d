"""The golden vectors are those that their script makes, and small enough to travel with the sources."""

from __future__ import annotations

from pathlib import Path

import torch
from golden.make import HERE, VECTORS, codec_vectors, language_model_vectors, write_golden_release
from golden.plain_lm import PlainLM
from safetensors.torch import load_file

from models.interchange.audiocraft_lm import read_released


def test_the_golden_vectors_are_what_their_script_makes(tmp_path: Path) -> None:
    release = write_golden_release(tmp_path / "release")
    released = read_released(release / "state_dict.bin")
    with torch.no_grad():
        made = language_model_vectors(PlainLM(released.weights, released.config)) | codec_vectors(release)
    stored = load_file(HERE / VECTORS)
    assert made.keys() == stored.keys()
    for name, value in stored.items():
        torch.testing.assert_close(made[name], value, atol=1e-4 if value.is_floating_point() else 0, rtol=0, msg=name)


def test_the_golden_vectors_take_less_than_a_megabyte() -> None:
    assert sum(file.stat().st_size for file in HERE.glob("*.safetensors")) < 1_000_000
