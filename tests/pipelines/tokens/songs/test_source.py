"""From an entry to samples: plain songs, given stems with and without a mix, and files that break off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.containers import wav
from helpers.odd_songs import RATE, encoded, int16, music, noise

from models.errors import StemsError
from pipelines.catalog.schema import CatalogEntry, GivenStem, entry_to_json
from pipelines.tokens.songs.inspect import inspect_file, song_id
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.source import SongAudio, decode, fetch, read_mix, read_song

LIMITS = SongLimits(min_seconds=1.0, max_seconds=60.0, max_megabytes=10.0)


def write(folder: Path, **files: tuple[np.ndarray, int]) -> None:
    for name, (sound, rate) in files.items():
        (folder / f"{name}.wav").write_bytes(encoded(sound, rate, "WAV", "DOUBLE"))


def song(folder: Path, stems: dict[str, list[str]], mix: str = "") -> CatalogEntry:
    given = (GivenStem(name, tuple(f"{folder}/{file}.wav" for file in files)) for name, files in stems.items())
    return CatalogEntry(uri=f"{folder}/{mix}.wav" if mix else str(folder), fingerprint="", stems=tuple(given))


def code_of(entry: CatalogEntry) -> str:
    with pytest.raises(StemsError) as caught:
        read_song(entry, LIMITS)
    return caught.value.code


def test_a_mix_is_its_file(tmp_path: Path) -> None:
    write(tmp_path, song=(music(), RATE))
    entry = song(tmp_path, {}, "song")
    blobs = fetch(entry)
    assert blobs == {entry.uri: (tmp_path / "song.wav").read_bytes()}
    found = decode(entry, blobs, LIMITS)
    np.testing.assert_allclose(found.mix.samples, music().T, atol=1e-6)
    assert (found.mix.rate, found.stems) == (RATE, {})


def test_a_song_of_stems_is_their_sum(tmp_path: Path) -> None:
    kick, snare, bass = music(hertz=100.0), noise(1.0), music(channels=1, hertz=60.0)
    write(tmp_path, kick=(kick, RATE), snare=(snare, RATE), bass=(bass, RATE))
    entry = song(tmp_path, {"bass": ["bass"], "drums": ["kick", "snare"]})
    found = read_song(entry, LIMITS)
    drums = kick.copy()
    drums[: len(snare)] += snare
    assert list(found.stems) == ["bass", "drums"]
    np.testing.assert_allclose(found.stems["bass"].samples, bass.T, atol=1e-6)
    np.testing.assert_allclose(found.stems["drums"].samples, drums.T, atol=1e-6)
    np.testing.assert_allclose(found.mix.samples, (drums + bass).T, atol=1e-6)
    np.testing.assert_allclose(read_mix(entry, LIMITS).samples, (drums + bass).T, atol=1e-6)


def test_files_of_unlike_channels_are_summed_in_stereo(tmp_path: Path) -> None:
    write(tmp_path, wide=(music(channels=4), RATE), bass=(noise(), RATE))
    found = read_mix(song(tmp_path, {"bass": ["wide", "bass"]}), LIMITS)
    sides = np.stack([music(channels=4)[:, side::2].mean(axis=1) for side in (0, 1)])
    np.testing.assert_allclose(found.samples, sides + noise().T, atol=1e-6)


def test_a_mix_beside_its_stems_is_the_song(tmp_path: Path) -> None:
    write(tmp_path, mixture=(noise(1.5), RATE), bass=(music(seconds=1.0), RATE), other=(music(seconds=2.0), RATE))
    entry = song(tmp_path, {"bass": ["bass"], "other": ["other"]}, "mixture")
    found = read_song(entry, LIMITS)
    np.testing.assert_allclose(found.mix.samples, noise(1.5).T, atol=1e-6)
    np.testing.assert_array_equal(read_mix(entry, LIMITS).samples, found.mix.samples)
    assert {stem.samples.shape for stem in found.stems.values()} == {found.mix.samples.shape}
    assert not found.stems["bass"].samples[:, RATE:].any()


def test_a_folder_with_the_name_of_audio_is_no_mix(tmp_path: Path) -> None:
    folder = tmp_path / "live.wav"
    folder.mkdir()
    write(folder, bass=(music(), RATE))
    assert isinstance(read_song(song(folder, {"bass": ["bass"]}), LIMITS), SongAudio)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    write(tmp_path, bass=(music(), RATE), drums=(music(), 48_000))
    assert code_of(song(tmp_path, {"bass": ["bass"], "drums": ["drums"]})) == "mismatched"
    assert code_of(song(tmp_path, {"drums": ["drums", "bass"]})) == "mismatched"
    assert code_of(song(tmp_path, {"drums": ["drums"]}, "bass")) == "mismatched"
    assert code_of(song(tmp_path, {"drums": ["gone"]})) == "missing"
    assert code_of(song(tmp_path, {"drums": ["drums"]}, "gone")) == "missing"


def test_no_file_is_read_that_is_too_large(tmp_path: Path) -> None:
    write(tmp_path, bass=(music(), RATE))
    with pytest.raises(StemsError) as caught:
        fetch(song(tmp_path, {}, "bass"), max_bytes=1000)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("RF64", "PCM_24"), ("W64", "PCM_16"), ("AIFF", "PCM_16")]
)
def test_a_file_that_ends_early_is_truncated(tmp_path: Path, container: str, subtype: str) -> None:
    data, entry = encoded(music(seconds=4.0), RATE, container, subtype), song(tmp_path, {}, "song")
    assert decode(entry, {entry.uri: data}, LIMITS).mix.seconds == 4.0
    with pytest.raises(StemsError, match=r"breaks off after 2\.0 s") as caught:
        decode(entry, {entry.uri: data[: len(data) // 2]}, LIMITS)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("size", [0, 0x7FFF_F024, 2**32 - 1])
def test_a_wav_of_unknown_length_is_whole(tmp_path: Path, size: int) -> None:
    entry = song(tmp_path, {}, "song")
    data = wav(int16(music()), rate=RATE, riff_size=size, data_size=size or None)
    assert decode(entry, {entry.uri: data}, LIMITS).mix.seconds == 1.5


def test_a_song_of_stems_is_the_same_to_the_bit_in_both_phases(tmp_path: Path) -> None:
    sounds = {name: (0.3 * noise(1.0 + k / 10), RATE) for k, name in enumerate("abcdef")}
    write(tmp_path, **sounds)
    entry = song(tmp_path, {"bass": ["a"], "drums": ["b", "c", "d"], "other": ["e", "f"]})
    assert song_id(read_song(entry, LIMITS).mix) == song_id(read_mix(entry, LIMITS))


def test_files_of_another_size_than_the_catalog_says_are_not_read_as_the_song(tmp_path: Path) -> None:
    write(tmp_path, song=(music(), RATE), bass=(music(hertz=60.0), RATE))
    plain, given = song(tmp_path, {}, "song"), song(tmp_path, {"bass": ["bass"], "drums": ["bass"]})
    size = (tmp_path / "song.wav").stat().st_size
    for entry, right in ((plain, size), (given, 2 * (tmp_path / "bass.wav").stat().st_size)):
        assert fetch(replace(entry, size=right))
        with pytest.raises(StemsError) as caught:
            fetch(replace(entry, size=right - 1))
        assert caught.value.code == "changed"
    found = inspect_file(entry_to_json(replace(plain, size=size + 1)), LIMITS)
    assert (found.reason, found.song_id) == ("changed", "")
