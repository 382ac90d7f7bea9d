from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from models.audio import read_audio, safe_gain
from models.song import Song
from models.stems import MUSICGEN_STEM
from serving.bundle import MANIFEST, describe, song_files, zip_files
from serving.orders import song_origins
from serving.schemas import SongRequest


def song(level: float) -> Song:
    noise = np.random.default_rng(0).uniform(-level, level, (3, 3200)).astype(np.float32)
    stems = dict(zip(MUSICGEN_STEM.names, noise, strict=True))
    return Song(np.zeros((6, 5), np.int16), stems, 32_000, MUSICGEN_STEM, 5, "hum")


def files_of(made: Song) -> dict[str, bytes]:
    origins = song_origins(MUSICGEN_STEM)
    return song_files(made, describe(made, SongRequest(), origins, model="abc", request_id="r"))


@pytest.mark.parametrize("level", [0.2, 0.9])
def test_stems_sum_up_to_the_mix_and_nothing_clips(level: float) -> None:
    files = files_of(song(level))
    mix = read_audio(files["mix.wav"]).samples
    stems = [read_audio(files[f"{name}.wav"]).samples for name in MUSICGEN_STEM.names]
    np.testing.assert_allclose(sum(stems), mix, atol=4 / 2**15)
    gain = json.loads(files[MANIFEST])["gain"]
    assert (gain < 1) == (level == 0.9)
    np.testing.assert_allclose(stems[0], song(level).stems["bass"][None] * gain, atol=1.1 / 2**15)


def test_gain_is_one_for_silence() -> None:
    assert safe_gain(np.zeros(3, np.float32)) == 1.0


def test_the_manifest_tells_what_was_used() -> None:
    manifest = json.loads(files_of(song(0.1))[MANIFEST])
    assert manifest["seed"] == 5
    assert manifest["model"] == "abc"
    assert manifest["request_id"] == "r"
    assert manifest["stems"][2] == {"name": "other", "file": "other.wav", "origin": "generated"}


def test_the_same_song_is_the_same_zip() -> None:
    files = files_of(song(0.1))
    packed = zip_files(files)
    assert packed == zip_files(dict(files))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["bass.wav", "drums.wav", "other.wav", "mix.wav", MANIFEST]
