from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.audio.files import (
    FORMATS,
    Audio,
    audio_info,
    clipped,
    encode_audio,
    loudness,
    read_audio,
    read_excerpt,
    silence,
    write_audio,
)
from models.errors import StemsError


def tone(seconds: float = 1.0, rate: int = 44_100, channels: int = 2, hertz: float = 440.0) -> Audio:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return Audio(np.tile(wave.astype(np.float32), (channels, 1)), rate)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_written_and_read(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"tone.{format}"
    write_audio(path, tone())
    info, audio = audio_info(path), read_audio(path)
    assert (info.rate, info.channels) == (48_000 if format == "opus" else 44_100, 2)
    assert audio.seconds == pytest.approx(1.0, abs=0.1)
    level = np.sqrt(np.mean(audio.samples[:, info.rate // 10 : -info.rate // 10] ** 2))  # Opus overshoots at first
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_lossless_formats_keep_sixteen_bits() -> None:
    for format in ("wav", "flac"):
        read = read_audio(encode_audio(tone(), format))
        np.testing.assert_allclose(read.samples, tone().samples, atol=1 / 2**15)


def test_what_is_too_loud_is_clipped_not_wrapped() -> None:
    read = read_audio(encode_audio(Audio(np.array([[2.0, -2.0]], np.float32), 8000)))
    np.testing.assert_allclose(read.samples, [[1.0, -1.0]], atol=1e-3)


def test_resampling_keeps_the_tone_and_removes_what_does_not_fit() -> None:
    low = tone(hertz=440.0).resample(16_000)
    assert low.samples.shape == (2, 16_000)
    assert np.sqrt(np.mean(low.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert np.abs(tone(hertz=15_000.0).resample(16_000).samples[:, 500:-500]).max() < 1e-4


@pytest.mark.parametrize("rate", [8_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_an_excerpt_is_that_part_of_the_whole(rate: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 2 * rate + 11)).astype(np.float32)
    write_audio(tmp_path / "song.flac", Audio(noise, rate))
    whole = read_audio(tmp_path / "song.flac").resample(32_000).samples
    for start, count in ((0, 4000), (31_337, 8000), (whole.shape[1] - 3000, 3000)):
        part = read_excerpt(tmp_path / "song.flac", 32_000, start, count)
        assert part.rate == 32_000
        np.testing.assert_allclose(part.samples, whole[:, start : start + count], atol=1e-5)


def test_an_excerpt_ends_where_the_file_does(tmp_path: Path) -> None:
    write_audio(tmp_path / "song.wav", tone(1.0, 32_000))
    assert read_excerpt(tmp_path / "song.wav", 32_000, 31_000, 5000).samples.shape == (2, 1000)
    with pytest.raises(StemsError, match="no audio"):
        read_excerpt(tmp_path / "song.wav", 32_000, 40_000, 10)
    with pytest.raises(StemsError, match="no file"):
        read_excerpt(tmp_path / "none.wav", 32_000, 0, 10)


def test_an_excerpt_decodes_no_more_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_audio(tmp_path / "song.flac", tone(20.0))
    counts, read = [], soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, frames: int, **options: object) -> np.ndarray:
        counts.append(frames)
        return read(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    read_excerpt(tmp_path / "song.flac", 32_000, 10 * 32_000, 32_000)
    assert sum(counts) < 1.2 * 44_100


def test_channels() -> None:
    four = Audio(np.array([[1, 1], [2, 2], [3, 3], [4, 4]], np.float32), 8000)
    np.testing.assert_array_equal(four.mono().samples, [[2.5, 2.5]])
    np.testing.assert_array_equal(four.stereo().samples, [[2, 2], [3, 3]])
    assert tone(channels=1).stereo().samples.shape[0] == 2


def test_loudness_is_that_of_the_standard() -> None:
    # A full-scale 997 Hz sine in one channel measures -3.01 LUFS (ITU-R BS.1770).
    sine = Audio(2 * tone(5.0, 48_000, 1, 997.0).samples, 48_000)
    assert loudness(sine) == pytest.approx(-3.01, abs=0.05)
    assert loudness(Audio(np.zeros((1, 48_000), np.float32), 48_000)) == -np.inf
    assert loudness(tone(0.1)) == -np.inf


def wav_of(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 8000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"not audio at all", "unreadable"),
        (wav_of(np.zeros((0, 1))), "empty"),
        (wav_of(np.array([0.0, np.nan])), "not_finite"),
        (wav_of(np.zeros(16_001)), "too_long"),
    ],
    ids=["nothing", "text", "no samples", "not a number", "too long"],
)
def test_bad_audio_is_refused_with_a_reason(data: bytes, code: str) -> None:
    with pytest.raises(StemsError, match=r"song\.wav") as caught:
        read_audio(data, name="song.wav", max_seconds=2.0)
    assert caught.value.code == code


def test_a_missing_file_is_named() -> None:
    with pytest.raises(StemsError, match=r"/nowhere\.wav"):
        read_audio("/nowhere.wav")


def test_loudness_in_parts_is_that_of_the_whole() -> None:
    import pyloudnorm

    noise = np.random.default_rng(0).standard_normal((2, 11_025 * 125 + 77)) * np.linspace(0, 0.1, 11_025 * 125 + 77)
    noise += 0.5  # which the meter's filters take away once they have settled
    whole = pyloudnorm.Meter(11_025).integrated_loudness(noise.T.astype(np.float32))
    assert loudness(Audio(noise.astype(np.float32), 11_025)) == pytest.approx(whole, abs=1e-6)
    many = Audio(np.repeat(noise[:1, -22_050:], 64, axis=0).astype(np.float32), 192_000)
    assert loudness(many) == pytest.approx(loudness(Audio(many.samples[:2], 192_000)), abs=1e-3)


@pytest.mark.parametrize("measured", [4, 5, 2**18])
def test_clipped_samples_are_three_in_a_row(measured: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.files._MEASURED", measured)
    full = 32_767 / 32_768
    peaks = [0, full, full, 0, full, -1, full, -1, -1, 0, 0.999]
    runs = [0, full, 1.5, full, -1, -1, -1, -2, 0, full, full, full]
    assert clipped(Audio(np.array([peaks], np.float32), 8000)) == 0.0
    assert clipped(Audio(np.array([runs, [0.0] * 12], np.float32), 8000)) == 10 / 24


def test_a_normalized_tone_is_not_clipped_and_one_that_is_cut_off_is() -> None:
    sine = 2 * tone(1.0, hertz=440.0).samples
    assert clipped(read_audio(encode_audio(Audio(sine, 44_100)))) == 0.0
    assert clipped(read_audio(encode_audio(Audio(2 * sine, 44_100)))) == pytest.approx(2 / 3, abs=0.02)


def test_silence_is_what_nobody_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(*channels: np.ndarray) -> float:
        return silence(Audio(np.stack(channels).astype(np.float32), 8000))

    sine = np.sin(2 * np.pi * 100 * np.arange(8000) / 8000)
    below, above = 1.40e-3 * sine, 1.42e-3 * sine  # -60 dBFS is an amplitude of 0.001414
    assert (of(below), of(above)) == (1.0, 0.0)
    assert of(0 * sine, above) == 0.0
    assert of(0 * sine + 0.5) == 1.0
    gap = np.concatenate([sine, np.zeros(8000), sine, np.zeros(4000), sine[:800], np.zeros(100)])
    assert of(gap) == 12_100 / gap.size
    monkeypatch.setattr("models.audio.files._MEASURED", 1000)
    assert of(gap) == 12_100 / gap.size
    assert silence(Audio(np.zeros((2, 0), np.float32), 8000)) == 1.0
