"""Jobs over HTTP: accepted, followed, waited for, named twice, cancelled, forgotten; edits of earlier ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from helpers.songs import open_zip

from models.audio.files import read_audio
from serving.config import KeyConfig, ServeConfig
from serving.http.api import create_app
from serving.http.api_keys import add_key, remove_key

NAMES = ["bass", "drums", "other"]
ASYNC = {"Prefer": ""}


def submit(local: TestClient, **fields: Any) -> dict[str, Any]:
    answer = local.post("/v1/songs", json=fields, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    return job


def done(local: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    ended: dict[str, Any] = local.get(job["links"]["self"]).json()
    assert ended["state"] == "done", ended
    return ended


def events(local: TestClient, job: dict[str, Any], **headers: str) -> Iterator[tuple[int, str, Any]]:
    with local.stream("GET", job["links"]["events"] + "?audio=true", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])


def stems(local: TestClient, job: dict[str, Any]) -> dict[str, np.ndarray]:
    files, _ = open_zip(local.get(job["links"]["zip"]).content)
    return files


def test_a_job_is_accepted_at_once_and_comes_to_its_result(local: TestClient) -> None:
    job = submit(local, seconds=2, seed=5, format="flac")
    assert job["state"] in ("queued", "running")
    assert (job["seed"], job["manifest"], job["links"]["zip"]) == (5, None, None)
    ended = done(local, job)
    assert (ended["frames"], ended["of"]) == (100, 100)
    assert ended["manifest"]["job"] == job["id"]
    assert local.get(ended["links"]["mix"]).content.startswith(b"fLaC")
    codes = local.get(f"/v1/results/{job['id']}/codes.npy").content
    assert codes.startswith(b"\x93NUMPY")


def test_its_events_are_the_song_as_it_comes(local: TestClient) -> None:
    job = submit(local, seconds=3, seed=5)
    heard: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    kinds, frames = [], 0
    for _, kind, data in events(local, job):
        kinds.append(kind)
        if kind == "progress":
            assert frames < data["frames"] <= data["of"] == 150
            frames = data["frames"]
        if kind == "audio":
            assert data["first"] == sum(map(len, heard[data["stem"]]))
            heard[data["stem"]].append(np.frombuffer(base64.b64decode(data["pcm"]), "<i2"))
    assert (kinds[0], kinds[-1], frames) == ("job", "end", 150)
    assert len(heard["bass"]) > 1
    ended = done(local, job)
    for name, samples in stems(local, ended).items():
        if name != "mix":
            streamed = np.concatenate(heard[name]) / 32768 * ended["manifest"]["gain"]
            np.testing.assert_allclose(streamed, samples, atol=2 / 2**15)


def test_of_a_job_that_has_ended_its_end_is_told(local: TestClient) -> None:
    ended = done(local, submit(local, seconds=1))
    for last in ("", "900", "nonsense"):
        told = list(events(local, ended, **{"Last-Event-ID": last}))
        assert [kind for _, kind, _ in told] == ["job", "end"]
        assert told[-1][2] == ended


def test_a_request_named_twice_is_one_job(local: TestClient) -> None:
    name = {"Idempotency-Key": "once"} | ASYNC
    one, two = (local.post("/v1/songs", json={"seconds": 1}, headers=name).json() for _ in range(2))
    assert one["id"] == two["id"]
    other = local.post("/v1/songs", json={"seconds": 2}, headers=name)
    assert (other.status_code, other.json()["field"]) == (422, "idempotency-key")
    waited = local.post("/v1/songs", json={"seconds": 1}, headers={"Idempotency-Key": "once"})
    assert (waited.status_code, waited.headers["x-job-id"]) == (200, one["id"])


def test_a_job_is_cancelled_or_forgotten(local: TestClient) -> None:
    running = submit(local, seconds=4)
    assert local.delete(running["links"]["self"]).status_code == 204
    assert local.get(running["links"]["self"]).json()["state"] == "cancelled"
    assert list(events(local, running))[-1][1] == "end"
    ended = done(local, submit(local, seconds=1))
    assert local.delete(ended["links"]["self"]).status_code == 204
    assert local.get(ended["links"]["self"]).status_code == 404
    assert local.get(ended["links"]["mix"]).status_code == 404


def test_a_region_of_an_earlier_song_is_played_anew_and_nothing_else(local: TestClient) -> None:
    first = done(local, submit(local, seconds=3, seed=1))
    fields = {"of": first["id"], "regenerate": "drums", "region": "1-2", "seed": "2"}
    parts = {name: (None, value) for name, value in fields.items()}
    answer = local.post("/v1/edits", files=parts, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    second = answer.json()
    origins = {stem["name"]: stem["origin"] for stem in second["manifest"]["stems"]}
    assert origins == {"bass": "kept", "drums": "spliced", "other": "kept"}
    assert second["manifest"]["region"] == [1, 2]
    ratio = second["manifest"]["gain"]
    if ratio == 1:
        old, new = stems(local, first), stems(local, second)
        np.testing.assert_array_equal(old["bass"], new["bass"])
        np.testing.assert_array_equal(old["drums"][:32_000], new["drums"][:32_000])
        np.testing.assert_array_equal(old["drums"][64_000:], new["drums"][64_000:])
        assert (old["drums"] != new["drums"]).any()


def test_a_texture_varies_where_there_is_one(local: TestClient) -> None:
    first = done(local, submit(local, seconds=1, seed=1))
    parts = {"of": (None, first["id"]), "stem": (None, "other")}
    varied = local.post("/v1/variations", files=parts, headers={"Accept": "application/json"}).json()
    origins = {stem["name"]: stem["origin"] for stem in varied["manifest"]["stems"]}
    assert origins == {"bass": "kept", "drums": "kept", "other": "varied"}
    refused = local.post("/v1/variations", files=parts | {"stem": (None, "bass")})
    assert (refused.status_code, refused.json()["field"]) == (422, "stem")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"regenerate": "bass", "region": "2-1"}, "region"),
        ({"regenerate": "bass", "region": "0-9"}, "region"),
        ({"regenerate": "bass", "region": "nan-1"}, "region"),
        ({"regenerate": "bass", "region": "soon"}, "region"),
        ({"region": "0-1"}, "regenerate"),
        ({"of": "unknown", "regenerate": "bass"}, "of"),
    ],
)
def test_a_bad_edit_of_an_earlier_song_is_refused(local: TestClient, fields: dict[str, str], field: str) -> None:
    first = done(local, submit(local, seconds=1, seed=1))
    parts = {name: (None, value) for name, value in ({"of": first["id"]} | fields).items()}
    answer = local.post("/v1/edits", files=parts)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


@pytest.mark.parametrize(
    ("accept", "kind", "start"),
    [
        ("audio/flac", "audio/flac", b"fLaC"),
        ("audio/mpeg;q=0.5, audio/wav", "audio/wav", b"RIFF"),
        ("audio/opus", "audio/opus", b"OggS"),
        ("text/html, */*;q=0.1", "application/zip", b"PK"),
    ],
)
def test_the_answer_is_what_the_client_accepts(local: TestClient, accept: str, kind: str, start: bytes) -> None:
    answer = local.post("/v1/songs", json={"seconds": 1}, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content.startswith(start)
    if kind != "application/zip":
        assert read_audio(answer.content).seconds == pytest.approx(1, abs=0.05)


def test_what_cannot_be_given_is_refused(local: TestClient) -> None:
    answer = local.post("/v1/songs", json={"seconds": 1}, headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["field"]) == (406, "accept")


def test_keys_open_the_service_and_part_their_owners(
    local: TestClient, settings: ServeConfig, band: Any, capsys: Any
) -> None:
    job = submit(local, seconds=1)
    keys = {}
    for name in ("one", "two"):
        add_key(KeyConfig(state=settings.state, name=name))
        keys[name] = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    with TestClient(create_app(settings, band), headers=ASYNC) as client:
        assert client.get("/v1/model").status_code == 401
        wrong = client.post("/v1/songs", json={"seconds": 1}, headers={"Authorization": "Bearer stems_guess"})
        assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
        mine = client.post("/v1/songs", json={"seconds": 1}, headers=keys["one"]).json()
        assert client.get(mine["links"]["self"], headers=keys["one"]).status_code == 200
        assert client.get(mine["links"]["self"], headers=keys["two"]).status_code == 404
        assert client.get(job["links"]["self"], headers=keys["one"]).status_code == 404
        assert client.get("/livez").status_code == 200
    remove_key(KeyConfig(state=settings.state, name="one"))
    with TestClient(create_app(settings, band)) as client:
        assert client.get("/v1/model", headers=keys["one"]).status_code == 401


def test_without_keys_only_this_machine_may_ask(settings: ServeConfig, band: Any) -> None:
    with TestClient(create_app(settings, band), client=("192.0.2.7", 40_000)) as far:
        assert far.get("/v1/model").status_code == 401
        assert far.post("/v1/songs", json={"seconds": 1}).status_code == 401
        assert far.get("/livez").status_code == 200
    with TestClient(create_app(settings, band), client=("127.0.0.1", 40_000)) as near:
        assert near.get("/v1/model").status_code == 200


def test_who_asks_too_often_is_told_when_to_come_back(settings: ServeConfig, band: Any) -> None:
    slow = settings.model_copy(update={"requests_per_minute": 2})
    with TestClient(create_app(slow, band)) as client:
        answers = [client.post("/v1/songs", json={"seconds": 0.5}) for _ in range(4)]
        assert [answer.status_code for answer in answers][:3] == [202, 202, 429]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 30
        assert 'stems_shed_total{reason="rate"}' in client.get("/metrics").text


def test_failures_are_counted_by_their_kind(local: TestClient) -> None:
    local.post("/v1/songs", json={"seconds": 0})
    local.post("/v1/edits", files={"song": b"no sound"})
    local.get("/v1/jobs/unknown")
    text = local.get("/metrics").text
    for kind in ("invalid", "unreadable", "missing"):
        assert f'stems_problems_total{{type="{kind}"}} 1.0' in text


def test_figures_tell_of_jobs_and_steps(local: TestClient) -> None:
    done(local, submit(local, seconds=2))
    text = local.get("/metrics").text
    assert 'stems_jobs_total{kind="song",state="done"} 1.0' in text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    [replica] = {name.partition("{")[2] for name in figures if name.startswith("stems_slots")}
    assert float(figures["stems_slots{" + replica]) == 4
    assert float(figures["stems_step_seconds{" + replica]) > 0
    assert float(figures["stems_first_audio_seconds_count"]) == 1
    assert float(figures['stems_requests_total{route="/v1/songs",status="202"}']) == 1
