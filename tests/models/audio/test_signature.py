from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import scipy.signal
import soundfile

from models.audio.files import Audio, encode_audio, read_audio
from models.audio.signature import EMPTY, NEAR, SLOTS, near, signature, similarity, slots
from pipelines.demo.band.band import Performance, play

SECONDS = 12.0
SONGS = ((56, "house"), (158, "house"), (243, "funk"), (283, "funk"), (5, "rock ballad"))
"""The two house songs have the same tempo and key, and so have the two funk songs."""


@cache
def performance(number: int) -> Performance:
    seed, style = SONGS[number]
    return play(seed, style, seconds=SECONDS)


@cache
def song(number: int) -> Audio:
    return Audio(performance(number).mix, performance(number).rate)


@cache
def signature_of(number: int) -> bytes:
    return signature(song(number))


def gained(audio: Audio, decibels: float) -> Audio:
    return Audio(audio.samples * np.float32(10 ** (decibels / 20)), audio.rate)


def cut(audio: Audio, start: float, end: float) -> Audio:
    n = audio.samples.shape[1]
    return Audio(audio.samples[:, int(start * n) : int((1 - end) * n)], audio.rate)


def delayed(audio: Audio, seconds: float) -> Audio:
    return Audio(np.pad(audio.samples, ((0, 0), (int(seconds * audio.rate), 0))), audio.rate)


def faded(audio: Audio) -> Audio:
    n = audio.samples.shape[1]
    ramp = np.minimum(1.0, np.arange(n, dtype=np.float32) / (n / 5))
    return Audio(audio.samples * ramp * ramp[::-1], audio.rate)


def equalized(audio: Audio) -> Audio:
    low = scipy.signal.lfilter(*scipy.signal.butter(1, 300, fs=audio.rate), audio.samples)
    return Audio((0.8 * audio.samples + 0.5 * low).astype(np.float32), audio.rate)


def limited(audio: Audio) -> Audio:
    return Audio((0.8 * np.tanh(2.5 * audio.samples)).astype(np.float32), audio.rate)


def encoded(audio: Audio, format: str) -> Audio:
    return read_audio(encode_audio(audio, format))  # type: ignore[arg-type]


def low_rate_mp3(audio: Audio) -> Audio:
    buffer = io.BytesIO()
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": 0.9, "bitrate_mode": "CONSTANT"}
    soundfile.write(buffer, audio.samples.T, audio.rate, **options)
    assert len(buffer.getvalue()) * 8 < 64_000 * audio.seconds
    return read_audio(buffer.getvalue())


VERSIONS: dict[str, Callable[[Audio], Audio]] = {
    "mp3": lambda audio: encoded(audio, "mp3"),
    "ogg": lambda audio: encoded(audio, "ogg"),
    "mp3 below 64 kbit/s": low_rate_mp3,
    "48 kHz": lambda audio: audio.resample(48_000),
    "mono at 16 kHz": lambda audio: audio.mono().resample(16_000),
    "12 dB louder": lambda audio: gained(audio, 12.0),
    "12 dB softer, 16 bit": lambda audio: encoded(gained(audio, -12.0), "wav"),
    "after 1.2 s of silence": lambda audio: delayed(audio, 1.237),
    "after 5 s of silence, mp3": lambda audio: encoded(delayed(audio, 5.013), "mp3"),
    "without the first fifth": lambda audio: cut(audio, 0.2003, 0.0),
    "without both ends, ogg": lambda audio: encoded(cut(audio, 0.1003, 0.1), "ogg"),
    "faded in and out": faded,
    "more bass, less treble": equalized,
    "driven into a limiter": limited,
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_is_found_again_in_another_form(version: str) -> None:
    for number in (2, 4):
        assert similarity(signature_of(number), signature(VERSIONS[version](song(number)))) >= NEAR


def test_other_songs_are_not_found_even_of_one_style_tempo_and_key() -> None:
    assert performance(0).tempo == performance(1).tempo
    assert performance(0).key == performance(1).key
    for number in range(len(SONGS)):
        for other in range(number):
            assert similarity(signature_of(number), signature_of(other)) < NEAR / 2


def test_songs_over_the_same_drum_loop_are_not_found() -> None:
    first, second = performance(2), performance(3)
    assert first.tempo == second.tempo
    length = round(2 * 4 * 60 / first.tempo * first.rate)
    n = first.mix.shape[1]
    loop = np.tile(first.stems["drums"][:, length : 2 * length], (1, n // length + 1))[:, :n]
    mixes = [Audio(loop + song.stems["bass"] + song.stems["other"], song.rate) for song in (first, second)]
    assert signature(Audio(loop, first.rate)) != EMPTY
    assert similarity(*map(signature, mixes)) < NEAR


def test_a_signature_is_small_and_always_the_same() -> None:
    assert signature(song(0)) == signature_of(0)
    assert len(signature_of(0)) == 4 * SLOTS
    assert similarity(signature_of(0), signature_of(0)) == 1.0


def test_a_signature_is_the_same_however_many_blocks_the_song_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.signature._BLOCK", 100)
    assert similarity(signature(song(0)), signature_of(0)) == 1.0


@pytest.mark.parametrize("seconds", [0.01, 1.0, 30.0])
def test_silence_is_similar_to_nothing(seconds: float) -> None:
    silence = signature(Audio(np.zeros((2, int(44_100 * seconds)), np.float32), 44_100))
    assert silence == EMPTY
    assert similarity(silence, silence) == 0.0
    assert similarity(silence, signature_of(0)) == 0.0


def test_a_second_of_music_and_a_steady_tone_are_similar_to_nothing() -> None:
    period = np.random.default_rng(0).uniform(-0.5, 0.5, 64).astype(np.float32)
    assert signature(cut(song(2), 0.0, 1 - 1 / SECONDS)) == EMPTY
    assert signature(Audio(np.tile(period, 2500)[None], 8000)) == EMPTY


def test_faint_hiss_is_no_part_of_a_song() -> None:
    late = delayed(song(2), SECONDS)
    hiss = np.random.default_rng(0).normal(0.0, 1e-4, late.samples.shape).astype(np.float32)
    assert similarity(signature_of(2), signature(Audio(late.samples + hiss, late.rate))) > 0.8


def test_what_agrees_at_many_distances_in_time_is_not_near() -> None:
    whole = slots([signature_of(2)])
    elsewhere = whole.copy()
    elsewhere[:, 1] = np.random.default_rng(0).permutation(2**16)[:SLOTS]
    assert similarity(whole.tobytes(), elsewhere.tobytes()) < 0.05
    assert near(whole, elsewhere).tolist() == [False]
    assert near(whole, whole + np.array([[0], [60_000]], np.uint16)).tolist() == [True]


def test_a_frame_more_or_less_is_the_same_distance() -> None:
    shaken = slots([signature_of(2)]).copy()
    shaken[:, 1] += np.arange(SLOTS, dtype=np.uint16) % 3 - 1
    assert similarity(signature_of(2), shaken.tobytes()) == 1.0


def test_many_pairs_at_once_are_near_where_one_by_one_they_are() -> None:
    versions = [signature_of(2), signature_of(3), signature(encoded(song(2), "ogg")), signature(faded(song(3)))]
    pairs = [(a, b) for a in versions for b in versions]
    together = near(slots([a for a, _ in pairs]), slots([b for _, b in pairs]))
    assert together.tolist() == [similarity(a, b) >= NEAR for a, b in pairs]
    assert 0 < together.sum() < len(pairs)
