"""Sound that is not what it seems: it is refused before it fills the memory."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from helpers.hostile import FORM, JSON, assert_refused, part, resident_mb

from models.audio.files import Audio, encode_audio


def silence(container: str, subtype: str, hours: float) -> bytes:
    buffer, minute = io.BytesIO(), np.zeros(8000 * 60, np.float32)
    with soundfile.SoundFile(buffer, "w", 8000, 1, format=container, subtype=subtype) as file:
        for _ in range(round(hours * 60)):
            file.write(minute)
    return buffer.getvalue()


def claims(data: bytes, at: int, size: int) -> bytes:
    return data[:at] + size.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize(
    ("container", "subtype", "hours"),
    [("FLAC", "PCM_16", 3), ("OGG", "VORBIS", 0.1), ("OGG", "OPUS", 0.05), ("MP3", "MPEG_LAYER_III", 0.1)],
)
def test_a_long_silence_in_a_few_bytes_is_refused_before_it_fills_the_memory(
    local: TestClient, container: str, subtype: str, hours: float
) -> None:
    bomb = silence(container, subtype, hours)
    assert len(bomb) < 950_000
    before, began = resident_mb(), time.monotonic()
    for _ in range(3):
        assert_refused(local.post("/v1/edits", files={"song": bomb}, data={"regenerate": "bass"}), 422, "song")
    assert time.monotonic() - began < 5
    assert resident_mb() - before < 30


@pytest.mark.parametrize(("at", "size"), [(40, 0xFFFFFFFF), (40, 0x7FFFFFFE), (4, 0xFFFFFFFF), (24, 0xFFFFFFFF)])
def test_a_wav_that_claims_too_much_is_refused_or_taken_for_what_it_is(local: TestClient, at: int, size: int) -> None:
    wav = encode_audio(Audio(np.full((1, 100), 0.1, np.float32), 8000))
    before = resident_mb()
    answer = local.post("/v1/edits", files={"song": claims(wav, at, size)}, data={"regenerate": "bass"})
    assert_refused(answer, answer.status_code, "song")
    assert answer.status_code in (415, 422)
    assert resident_mb() - before < 30


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "GZIP"])
def test_a_compressed_body_is_refused_unread(local: TestClient, coding: str) -> None:
    answer = local.post("/v1/songs", content=b"\x1f\x8b" * 10, headers=JSON | {"Content-Encoding": coding})
    assert_refused(answer, 415, "content-encoding")


def test_refused_uploads_leave_no_memory_behind(local: TestClient) -> None:
    noise = np.random.default_rng(0).bytes(950_000)

    def refused() -> None:
        assert_refused(local.post("/v1/edits", files={"song": noise}, data={"regenerate": "bass"}), 415, "song")
        body = part("song", noise, "a.wav") * 2 + b"--x--\r\n"
        assert_refused(local.post("/v1/edits", content=body, headers=FORM), 413, "body")

    for _ in range(3):
        refused()
    before = resident_mb()
    for _ in range(20):
        refused()
    assert resident_mb() - before < 30
