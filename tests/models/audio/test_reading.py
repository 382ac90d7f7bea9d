"""Decoding stays within bounds and keeps every sample, whatever a header says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.by_ffmpeg import by_ffmpeg, song
from helpers.containers import flac, wav
from helpers.malformed import whole_files
from helpers.odd_songs import encoded, int16, music

from models.audio.containers.ffmpeg import FfmpegReader
from models.audio.files import audio_info, header_info, read_audio
from models.errors import StemsError


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.reading._BLOCK", 2 * 1009)


@pytest.mark.parametrize("suffix", list(whole_files()))
def test_reading_in_blocks_changes_no_bit(suffix: str, tmp_path: Path, small_blocks: None) -> None:
    data = whole_files()[suffix]
    (tmp_path / "song").write_bytes(data)
    expected, rate = soundfile.read(tmp_path / "song", dtype="float32", always_2d=True)
    for source in (data, tmp_path / "song"):
        audio = read_audio(source)
        assert audio.rate == rate
        np.testing.assert_array_equal(audio.samples, expected.T)


@pytest.mark.parametrize(("rate", "channels"), [(192_000, 2), (8000, 2), (8000, 64), (384_000, 1), (4000, 256)])
def test_odd_songs_sound_as_they_were_written(rate: int, channels: int) -> None:
    sound = music(rate, channels)
    audio = read_audio(encoded(sound, rate, "WAV", "PCM_24"))
    assert (audio.rate, audio.seconds) == (rate, 1.5)
    np.testing.assert_allclose(audio.samples, sound.T, atol=2**-22)
    heard = audio.stereo().resample(44_100).samples
    expected = [music(44_100, channels)[:, side::2] if channels > 1 else music(44_100, 1) for side in (0, 1)]
    inner = slice(2000, -2000)
    for side in (0, 1):
        np.testing.assert_allclose(heard[side, inner], expected[side].mean(axis=1)[inner], atol=1e-4)


def test_a_file_that_does_not_say_its_length_is_read_to_its_end(small_blocks: None) -> None:
    data = flac(600, block=120, channels=2, level=8000, total=0)
    assert audio_info(data).seconds == 1.5
    assert header_info(data).seconds == 0.0
    np.testing.assert_array_equal(
        read_audio(data).samples, read_audio(flac(600, block=120, channels=2, level=8000)).samples
    )


@pytest.mark.parametrize("total", [None, 0, 48_000])
def test_a_bomb_is_not_decoded_at_all_where_its_frames_can_be_counted(
    total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = flac(60, total=total)
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    for bounds, code in (({"max_bytes": 10_000_000}, "too_large"), ({"max_seconds": 5.0}, "too_long")):
        with pytest.raises(StemsError, match=r"'bomb' (takes|lasts) [0-9]") as caught:
            read_audio(bomb, name="bomb", **bounds)
        assert caught.value.code == code


def test_a_file_that_cannot_be_counted_is_not_decoded_beyond_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    long, decoded, read = by_ffmpeg(song(60), 44_100, "adts", "aac"), [0], FfmpegReader.read

    def counting(self: FfmpegReader, count: int) -> np.ndarray:
        block = read(self, count)
        decoded[0] += len(block)
        return block

    monkeypatch.setattr(FfmpegReader, "read", counting)
    for bounds, code in (({"max_bytes": 4_000_000}, "too_large"), ({"max_seconds": 5.0}, "too_long")):
        decoded[0] = 0
        with pytest.raises(StemsError, match=r"'long' (takes|lasts) more than") as caught:
            read_audio(long, name="long", **bounds)
        assert caught.value.code == code
        assert decoded[0] <= 500_001


def test_room_is_made_as_samples_come(small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.reading._ROOM", 100)
    assert read_audio(flac(10, block=4800, channels=2, level=1, total=0)).seconds == 1.0


def test_no_memory_for_what_a_header_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    data = flac(10)
    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(StemsError, match="does not fit into memory") as caught:
        read_audio(data)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("channels", "rate", "code"),
    [(256, 8000, ""), (257, 8000, "unsupported"), (1, 4000, ""), (1, 3999, "unsupported"), (1, 768_000, ""),
     (1, 768_001, "unsupported"), (0, 8000, "unreadable"), (1, 0, "unreadable")],
)  # fmt: skip
def test_rates_and_channels_that_make_sense(channels: int, rate: int, code: str) -> None:
    data = wav(int16(music(8000, max(1, channels))), channels=channels, rate=rate)
    if not code:
        assert read_audio(data).samples.shape == (channels, 12_000)
        return
    with pytest.raises(StemsError, match="'song'") as caught:
        read_audio(data, name="song")
    assert caught.value.code == code


def test_formats_beside_those_of_songs_are_not_taken() -> None:
    with pytest.raises(StemsError, match="HTK") as caught:
        audio_info(encoded(music(16_000, 1), 16_000, "HTK", "PCM_16"))
    assert caught.value.code == "unsupported"
