"""Inspection: every kind of trouble gets its reason, and equal audio gets one id."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.audio import Audio, encode_audio, read_audio
from pipelines.catalog.folder import import_catalog
from pipelines.tokens.inspect import (
    Inspected,
    Limits,
    entry_from_json,
    entry_to_json,
    inspect_file,
    song_id,
)

LIMITS = Limits(min_seconds=1.0, max_seconds=60.0, max_megabytes=10.0)


def noise(seconds: float = 2.0, rate: int = 22050, channels: int = 2) -> Audio:
    samples = np.random.default_rng(0).standard_normal((channels, int(seconds * rate)))
    return Audio((0.1 * samples).astype(np.float32), rate)


def inspect(path: Path, data: bytes, limits: Limits = LIMITS) -> Inspected:
    path.write_bytes(data)
    (entry,) = import_catalog(str(path.parent))
    return inspect_file(entry_to_json(entry), limits, {})


def test_a_song_passes_with_its_bytes_and_what_was_heard(tmp_path: Path) -> None:
    data = encode_audio(noise(channels=1), "flac")
    found = inspect(tmp_path / "a.flac", data)
    assert (found.reason, found.message, found.data) == ("", "", data)
    assert (found.seconds, found.rate, found.channels) == (2.0, 22050, 1)
    assert -30 < found.loudness < -10
    assert entry_from_json(found.entry) == import_catalog(str(tmp_path))[0]


def _float_wav(audio: Audio) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio.samples.T, audio.rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def _not_finite() -> bytes:
    audio = noise()
    audio.samples[0, 5] = np.nan
    return _float_wav(audio)


def _half(audio_format: str) -> bytes:
    data = encode_audio(noise(8.0), audio_format)  # type: ignore[arg-type]
    return data[: len(data) // 2]


def _silence(seconds: float) -> bytes:
    return encode_audio(Audio(np.zeros((1, int(seconds * 8000)), np.float32), 8000), "flac")


@pytest.mark.parametrize(
    ("name", "make", "reason", "said"),
    [
        ("text.wav", lambda: b"these are words\n" * 40, "unreadable", "cannot be read"),
        ("empty.ogg", lambda: b"", "empty", "empty file"),
        ("no samples.wav", lambda: encode_audio(Audio(np.zeros((1, 0), np.float32), 8000)), "empty", "no audio"),
        ("short.wav", lambda: encode_audio(noise(0.9)), "too_short", "0.9 s; at least 1"),
        ("long.flac", lambda: _silence(7200.0), "too_long", "lasts 7200 s"),
        ("silent.flac", lambda: _silence(5.0), "silent", "is silent"),
        ("broken.wav", _not_finite, "not_finite", "not numbers"),
        ("cut.mp3", lambda: _half("mp3"), "truncated", "breaks off after 3.9"),
        ("cut.wav", lambda: _half("wav"), "truncated", "breaks off after 4.0"),
        ("cut.ogg", lambda: _half("ogg"), "truncated", "breaks off"),
        ("cut.flac", lambda: _half("flac"), "unreadable", "cannot be read"),
    ],
)
def test_trouble_has_a_reason(tmp_path: Path, name: str, make: object, reason: str, said: str) -> None:
    found = inspect(tmp_path / name, make())  # type: ignore[operator]
    assert (found.reason, found.data) == (reason, b"")
    assert f"'{tmp_path / name}'" in found.message
    assert said in found.message


def test_length_and_size_are_judged_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long, data = _silence(7200.0), encode_audio(noise())
    monkeypatch.setattr("soundfile.SoundFile.read", lambda *_, **__: pytest.fail("samples were decoded"))
    assert inspect(tmp_path / "a.flac", long).reason == "too_long"
    monkeypatch.setattr("pipelines.tokens.inspect.read_bytes", lambda _: pytest.fail("the file was read"))
    assert inspect(tmp_path / "a.flac", data, Limits(1.0, 60.0, 0.01)).reason == "too_large"


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    (entry,) = import_catalog(str(tmp_path))
    assert inspect_file(entry_to_json(entry), LIMITS, {}).reason == "missing"
    (tmp_path / "gone.wav").unlink()
    os.mkfifo(tmp_path / "pipe.wav")
    (entry,) = import_catalog(str(tmp_path))
    found = inspect_file(entry_to_json(entry), LIMITS, {})
    assert found.reason == "unreadable"
    assert "not a regular file" in found.message


def test_surprises_are_reasons_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("pipelines.tokens.inspect.read_audio", fail)
    found = inspect(tmp_path / "a.wav", b"x")
    assert (found.reason, found.message) == ("failed:MemoryError", "no room")


def _pcm(container: str) -> bytes:
    buffer = io.BytesIO()
    samples = (noise().samples.T * 20000).astype(np.int16)
    soundfile.write(buffer, samples, 22050, format=container, subtype="PCM_16")
    return buffer.getvalue()


def test_equal_samples_are_one_song_whatever_holds_them() -> None:
    audio = read_audio(_pcm("WAV"))
    wav, flac = _pcm("WAV"), _pcm("FLAC")
    assert wav != flac
    assert song_id(read_audio(wav)) == song_id(read_audio(flac))
    other = Audio(audio.samples[:, :-1], audio.rate)
    faster = Audio(audio.samples, audio.rate * 2)
    assert len({song_id(audio), song_id(audio.mono()), song_id(other), song_id(faster)}) == 4


def test_a_song_that_the_table_has_needs_no_work(tmp_path: Path) -> None:
    data = encode_audio(noise(), "flac")
    first = inspect(tmp_path / "a.flac", data)
    again = inspect_file(first.entry, LIMITS, {first.song_id: "/elsewhere/b.wav"})
    assert (again.reason, again.data) == ("duplicate", b"")
    assert "'/elsewhere/b.wav'" in again.message


def test_a_wav_of_unknown_length_is_whole(tmp_path: Path) -> None:
    data = bytearray(encode_audio(noise()))
    data[4:8] = b"\xff\xff\xff\xff"  # as written to a pipe
    assert inspect(tmp_path / "a.wav", bytes(data)).reason == ""
