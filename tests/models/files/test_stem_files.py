"""Files of stems are found by their names, in any case; what is not found is named, and what is likely is offered."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from models.audio.stem_files import likely_stem, stem_of, stems_in
from models.errors import StemsError

STEMS = ("bass", "drums", "lead-vox")


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_of_our_own_is_read_without_its_mix_and_what_lies_beside(tmp_path: Path) -> None:
    names = (
        "bass.wav",
        "drums.wav",
        "mix.wav",
        "codes.npy",
        "manifest.json",
        ".bass.wav",
        "._drums.wav",
        "a.txt",
    )
    assert {stem: file.name for stem, file in stems_in(folder_of(tmp_path, *names), STEMS).items()} == {
        "bass": "bass.wav",
        "drums": "drums.wav",
    }


def test_names_count_in_any_case_and_form(tmp_path: Path) -> None:
    wide = unicodedata.normalize("NFKC", "ｌｅａｄ－ｖｏｘ")
    assert wide == "lead-vox"
    folder = folder_of(tmp_path, "Bass.wav", "drums.WAV", "ｌｅａｄ－ｖｏｘ.Flac", "MIX.wav")
    assert {stem: file.name for stem, file in stems_in(folder, STEMS).items()} == {
        "bass": "Bass.wav",
        "drums": "drums.WAV",
        "lead-vox": "ｌｅａｄ－ｖｏｘ.Flac",
    }


def test_a_mix_is_a_stem_where_the_model_says_so(tmp_path: Path) -> None:
    assert list(stems_in(folder_of(tmp_path, "Mix.wav"), ("mix",))) == ["mix"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Bass.wav", "bass.wav"), ("'Bass.wav' and 'bass.wav'", "one file for each stem")),
        (("bass.flac", "bass.wav"), ("'bass.flac' and 'bass.wav'",)),
        (("song - Bass.wav", "drums.wav"), ("'song - Bass.wav'", "Rename 'song - Bass.wav' to 'bass.wav'")),
        (("bass_01.flac",), ("Rename 'bass_01.flac' to 'bass.flac'",)),
        (("01 Drums.WAV", "02 Bass.wav"), ("'01 Drums.WAV' to 'drums.wav'", "'02 Bass.wav' to 'bass.wav'")),
        (("Lead Vox (2).wav",), ("'Lead Vox (2).wav' to 'lead-vox.wav'",)),
        (("bass.wav", "guitar.wav"), ("'guitar.wav'", "bass, drums, lead-vox")),
        (("bass.wav", "song bass.wav"), ("'song bass.wav'", "move others out")),  # which of both is meant?
        (("bass 1.wav", "bass 2.wav"), ("'bass 1.wav', 'bass 2.wav'", "Name one file after each")),
        (("bass and drums.wav",), ("'bass and drums.wav'", "Name one file after each")),
        (("bass.wav", "drums.wma"), ("'drums.wma'", "Convert to one of .wav, .flac")),
        (("mix.wav",), ("has no stems", "bass, drums, lead-vox")),
        ((), ("has no stems",)),
        (tuple(f"take {n}.wav" for n in range(30)), ("and 25 more",)),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path: Path, names: tuple[str, ...], said: tuple[str, ...]) -> None:
    with pytest.raises(StemsError) as caught:
        stems_in(folder_of(tmp_path, *names), STEMS)
    assert all(part in str(caught.value) for part in said), str(caught.value)
    assert caught.value.field == "song"


def test_a_word_is_a_whole_word() -> None:
    assert likely_stem("bassoon", STEMS) is None
    assert likely_stem("Song_Bass2_final", STEMS) == "bass"
    assert stem_of("bass ", STEMS) == "bass"
    assert stem_of("", STEMS) is None


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path / "none"):
        with pytest.raises(StemsError, match="cannot be read"):
            stems_in(place, STEMS)
