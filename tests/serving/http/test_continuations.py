"""A song goes on, over HTTP."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import zipfile
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from helpers.tiny import LAYOUT

from models.audio.files import Audio, encode_audio, read_audio
from serving.config import ServeConfig

RATE = 32_000


def sound(seconds: float, pitch: float, level: float = 0.2) -> bytes:
    time = np.arange(round(seconds * RATE)) / RATE
    return encode_audio(Audio((level * np.sin(2 * np.pi * pitch * time))[None].astype(np.float32), RATE), "flac")


def stems(**seconds: float) -> dict[str, tuple[str, bytes]]:
    lengths = {name: seconds.get(name, 1.0) for name in LAYOUT.names}
    return {name: (f"{name}.flac", sound(length, 110 * (k + 1))) for k, (name, length) in enumerate(lengths.items())}


def samples(local: TestClient, job: str, name: str) -> np.ndarray:
    return read_audio(local.get(f"/v1/results/{job}/{name}.flac").content).samples[0]


def test_a_song_goes_on_in_all_its_stems_and_stays_as_it_was(local: TestClient) -> None:
    files = stems()
    answer = local.post("/v1/continuations", files=files, data={"seconds": "1", "seed": "7", "prompt": "hum"})
    assert answer.status_code == 200
    manifest = manifest_of(answer)
    assert (manifest["task"], manifest["seconds"], manifest["continued_at"]) == ("continuation", 2.0, 1.0)
    assert {stem["origin"] for stem in manifest["stems"]} == {"continued"}
    for name, (_, data) in files.items():
        whole, sent = samples(local, answer.headers["x-job-id"], name), read_audio(data).samples[0]
        # Results are 16-bit files, and quieter where the mix would clip.
        np.testing.assert_allclose(whole[:RATE], manifest["gain"] * sent, atol=2**-15)
        assert np.abs(whole[RATE:]).max() > 0


def test_only_the_named_stems_go_on_and_the_others_are_kept(local: TestClient) -> None:
    [going, *others] = LAYOUT.names
    files = stems(**dict.fromkeys(others, 2.0))
    answer = local.post("/v1/continuations", files=files, data={"seconds": "1", "regenerate": going, "seed": "1"})
    manifest = manifest_of(answer)
    assert {stem["name"]: stem["origin"] for stem in manifest["stems"]} == {going: "continued"} | dict.fromkeys(
        others, "kept"
    )
    assert manifest["seconds"] == 2.0


def test_an_earlier_job_goes_on_from_its_own_tokens(local: TestClient) -> None:
    first = local.post("/v1/songs", json={"seconds": 1, "seed": 3}, headers={"Accept": "application/json"}).json()
    form = {"of": first["id"], "seconds": "1", "seed": "4"}
    answer = local.post("/v1/continuations", files={name: (None, text) for name, text in form.items()})
    assert answer.status_code == 200
    before, after = (codes(local, job) for job in (first["id"], answer.headers["x-job-id"]))
    np.testing.assert_array_equal(after[:, : before.shape[1]], before)
    assert after.shape[1] == 2 * before.shape[1]


def test_a_variation_of_an_earlier_job_keeps_the_first_stream_of_the_stem(local: TestClient) -> None:
    first = local.post("/v1/songs", json={"seconds": 1, "seed": 3}, headers={"Accept": "application/json"}).json()
    name = next(stem.name for stem in LAYOUT.stems if stem.codebooks > 1)
    form = {"of": (None, first["id"]), "stem": (None, name), "seed": (None, "4")}
    answer = local.post("/v1/variations", files=form)
    assert answer.status_code == 200
    before, after = (codes(local, job) for job in (first["id"], answer.headers["x-job-id"]))
    np.testing.assert_array_equal(after[LAYOUT.slice(name).start], before[LAYOUT.slice(name).start])


def manifest_of(answer: Any) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(answer.content)) as song:
        manifest: dict[str, Any] = json.loads(song.read("manifest.json"))
    return manifest


def codes(local: TestClient, job: str) -> np.ndarray:
    return np.load(io.BytesIO(local.get(f"/v1/results/{job}/codes.npy").content))


@pytest.mark.parametrize(
    ("files", "fields", "field", "word"),
    [
        (stems(), {"seconds": "3.5"}, "seconds", "4.5 s"),
        (stems(), {"seconds": "0.1"}, "seconds", ""),
        (stems(), {"regenerate": "tuba"}, "regenerate", "tuba"),
        (stems(), {"seconds": "1", "regenerate": LAYOUT.names[0]}, "regenerate", "does not go on"),
        ({LAYOUT.names[0]: stems()[LAYOUT.names[0]]}, {"seconds": "1"}, "song", "not given"),
        ({}, {"seconds": "1"}, "song", "no audio"),
        (stems(), {"region": "0-1"}, "region", "no field"),
    ],
)
def test_what_cannot_go_on_is_refused_by_field(
    local: TestClient, files: Any, fields: dict[str, str], field: str, word: str
) -> None:
    parts = {**files, **{name: (None, text) for name, text in fields.items()}}
    answer = local.post("/v1/continuations", files=parts)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert word in answer.json()["detail"]


def test_a_job_whose_files_were_turned_down_is_encoded_from_its_sound(
    local: TestClient, settings: ServeConfig
) -> None:
    loud = {name: (file, sound(1.0, 110, level=0.9)) for name, (file, _) in stems().items()}
    job = local.post("/v1/continuations", files=loud, data={"seconds": "0.5", "seed": "1"}).headers["x-job-id"]
    assert json.loads(local.get(f"/v1/results/{job}/manifest.json").content)["gain"] < 1
    with sqlite3.connect(settings.state.removeprefix("sqlite:///")) as database:
        count = "select count(*) from jobs where sources like '%codes.npy%'"
        assert local.post("/v1/continuations", files={"of": (None, job), "seconds": (None, "0.5")}).status_code == 200
        assert database.execute(count).fetchone() == (0,)


def test_a_mixed_song_goes_on(local: TestClient) -> None:
    answer = local.post("/v1/continuations", files={"song": ("s.flac", sound(1.0, 220))}, data={"seconds": "0.5"})
    assert (answer.status_code, manifest_of(answer)["seconds"]) == (200, 1.5)


def test_a_mixed_song_is_edited_with_a_stem_left_silent(local: TestClient) -> None:
    fields = {"regenerate": LAYOUT.names[0], "silent": LAYOUT.names[-1]}
    answer = local.post("/v1/edits", files={"song": ("s.flac", sound(1.0, 220))}, data=fields)
    assert answer.status_code == 200
    assert [stem["origin"] for stem in manifest_of(answer)["stems"]] == ["generated", "kept", "silent"]


def test_the_same_request_and_seed_give_the_same_continuation_and_another_body_may_not_have_its_name(
    local: TestClient,
) -> None:
    fields = {"seconds": "0.5", "seed": "9"}
    one, two = (local.post("/v1/continuations", files=stems(), data=fields) for _ in range(2))
    assert codes(local, one.headers["x-job-id"]).tolist() == codes(local, two.headers["x-job-id"]).tolist()
    named = {"Idempotency-Key": "mine"}
    assert local.post("/v1/continuations", files=stems(), data=fields, headers=named).status_code == 200
    answer = local.post("/v1/continuations", files=stems(), data=fields | {"seconds": "0.6"}, headers=named)
    assert (answer.status_code, answer.json()["field"]) == (422, "idempotency-key")


def test_its_sound_is_streamed_from_the_first_sample_on(local: TestClient) -> None:
    headers = {"Prefer": "", "Accept": "application/json"}
    job = local.post("/v1/continuations", files=stems(), data={"seconds": "0.5"}, headers=headers).json()
    events = local.get(f"/v1/jobs/{job['id']}/events?audio=true").text.split("\n\n")
    heard = [json.loads(event.rpartition("data: ")[2]) for event in events if "event: audio" in event]
    first = [piece for piece in heard if piece["stem"] == LAYOUT.names[0]]
    assert first[0]["first"] == 0
    assert sum(len(base64.b64decode(piece["pcm"])) // 2 for piece in first) == round(1.5 * RATE)
