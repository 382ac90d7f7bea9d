"""Which sounds a client sends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from models.errors import StemsError
from serving.client.sounds import folder_sounds, read_sound

text = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=12)


def test_stems_in_a_folder_are_all_its_sounds_but_the_mix(tmp_path: Path) -> None:
    for name in ("bass.wav", "drums.FLAC", "mix.wav", "manifest.json", "codes.npy", ".other.wav"):
        (tmp_path / name).touch()
    assert folder_sounds(tmp_path) == {"bass": tmp_path / "bass.wav", "drums": tmp_path / "drums.FLAC"}
    (tmp_path / "bass.ogg").touch()
    with pytest.raises(StemsError, match=r"'bass\.ogg' and 'bass\.wav' in .* are the same stem"):
        folder_sounds(tmp_path)


def test_a_folder_without_stems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="has no stems"):
        folder_sounds(tmp_path)
    with pytest.raises(StemsError, match="is no folder"):
        folder_sounds(tmp_path / "none")


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (np.zeros((3, 4, 5)), r"have the shape \[3, 4, 5\]"),
        (np.zeros((500, 2)), r"have the shape \[500, 2\]\. Give \[samples\], or \[channels, samples\]"),
        (np.zeros(0), r"have the shape \[0\]"),
        (np.zeros(9, np.int32), "are int32. Give floats"),
        (np.array([0, np.nan]), "are not all finite"),
    ],
)
def test_an_array_that_is_not_sound_is_refused(samples: np.ndarray, text: str) -> None:
    with pytest.raises(StemsError, match=text) as caught:
        read_sound((samples, 8000), "bass")
    assert caught.value.field == "bass"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match=r"none\.wav' cannot be read: No such file") as caught:
        read_sound(tmp_path / "none.wav", "song")
    assert (caught.value.code, caught.value.field) == ("missing", "song")
