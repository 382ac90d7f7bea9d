"""The service as it runs: Ray Serve, HTTP, a real model with random weights."""

from __future__ import annotations

import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from helpers.documented import run_documented
from helpers.songs import open_zip

from models.audio.files import Audio

NAMES = ["bass", "drums", "other"]


def assert_sums_up(files: dict[str, np.ndarray]) -> None:
    total = np.sum([files[name] for name in NAMES], axis=0)
    np.testing.assert_allclose(total, files["mix"], atol=4 / 2**15)


def test_text_becomes_stems_that_sum_up_to_the_mix(live: httpx.Client) -> None:
    fields = {"prompt": "warm bass", "seconds": 1.5, "seed": 7}
    answer = live.post("/v1/songs", json=fields, headers={"X-Request-Id": "mine"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    files, manifest = open_zip(answer.content)
    assert list(files) == [*NAMES, "mix"]
    assert {len(samples) for samples in files.values()} == {48_000}
    assert_sums_up(files)
    assert manifest["seconds"] == 1.5
    assert manifest["seed"] == 7
    assert answer.headers.get_list("x-seed") == ["7"]
    assert manifest["job"] == answer.headers["x-job-id"]
    assert answer.headers.get_list("x-request-id") == ["mine"]
    assert manifest["model"] == answer.headers["x-model-digest"] == live.get("/v1/model").json()["digest"]


def test_an_edit_changes_only_the_stem_it_names(live: httpx.Client, tone: Audio, tone_wav: bytes) -> None:
    def edit(regenerate: str, seed: int) -> dict[str, np.ndarray]:
        fields = {"regenerate": regenerate, "seed": str(seed)}
        answer = live.post("/v1/edits", files={"song": ("tone.wav", tone_wav)}, data=fields)
        assert answer.status_code == 200, answer.text
        files, manifest = open_zip(answer.content)
        assert {len(samples) for samples in files.values()} == {round(tone.seconds * 32_000)}
        assert_sums_up(files)
        assert manifest["gain"] == 1
        return files

    one, two, drums = edit("bass", 1), edit("bass", 2), edit("drums", 1)
    np.testing.assert_array_equal(one["drums"], two["drums"])
    np.testing.assert_array_equal(one["other"], two["other"])
    assert (one["bass"] != two["bass"]).any()
    np.testing.assert_array_equal(one["other"], drums["other"])
    assert (one["drums"] != drums["drums"]).any()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"seconds": 0}, 422, "seconds"),
        ({"seconds": 9}, 422, "seconds"),
        ({"promt": "x"}, 422, "promt"),
        ({"guidance": "NaN"}, 422, "guidance"),
    ],
)
def test_a_bad_song_request_is_a_problem(
    live: httpx.Client, body: dict[str, object], status: int, field: str
) -> None:
    answer = live.post("/v1/songs", json=body)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("upload", "regenerate", "status", "field"),
    [
        (b"just text", "bass", 415, "song"),
        (None, "tuba", 422, "regenerate"),
        (None, "", 422, "regenerate"),
    ],
)
def test_a_bad_edit_is_a_problem(
    live: httpx.Client, tone_wav: bytes, upload: bytes | None, regenerate: str, status: int, field: str
) -> None:
    files = {"song": ("song.wav", tone_wav if upload is None else upload)}
    answer = live.post("/v1/edits", files=files, data={"regenerate": regenerate})
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_a_huge_upload_is_refused_and_the_service_goes_on(live: httpx.Client) -> None:
    answer = live.post("/v1/edits", files={"song": ("song.wav", b"0" * 9_000_000)})
    assert (answer.status_code, answer.json()["field"]) == (413, "body")
    assert live.get("/livez").json() == {"status": "live"}


def test_more_requests_than_fit_are_shed(live: httpx.Client) -> None:
    def ask(_: int) -> httpx.Response:
        return live.post("/v1/songs", json={"seconds": 8})

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    shed = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in shed)
    assert all(answer.json()["type"] == "urn:stems:problem:busy" for answer in shed)
    assert live.post("/v1/songs", json={"seconds": 1}).status_code == 200


def test_the_page_and_its_parts_are_served(live: httpx.Client) -> None:
    page = live.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="([\w.]+)"', page.text)
    assert {"app.js", "style.css", "icon.svg"} <= set(parts)
    modules = re.findall(r'from "\./([\w.]+)"', live.get("/app.js").text)
    assert {"api.js", "player.js"} <= set(modules)
    for part in [*parts, *modules]:
        assert live.get(f"/{part}").status_code == 200, part


def test_it_is_ready_and_documents_itself(live: httpx.Client) -> None:
    assert live.get("/readyz").json() == {"status": "ready"}
    assert live.get("/docs").status_code == 200
    assert "/v1/songs" in live.get("/openapi.json").json()["paths"]


def test_parts_heads_and_refusals_come_through_rays_proxy(live: httpx.Client) -> None:
    song = live.post("/v1/songs", json={"seconds": 1})
    place = f"/v1/results/{song.headers['x-job-id']}/mix.mp3"
    whole, told = live.get(place), live.head(place)
    assert (told.status_code, told.headers["content-length"], told.content) == (200, str(len(whole.content)), b"")
    part = live.get(place, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert live.get(place, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert live.get(place, headers={"Host": "evil.example"}).status_code == 403
    assert live.post("/v1/songs", json={"seconds": 1}, headers={"Origin": "null"}).status_code == 403
    untrusted = live.get("/openapi.json", headers={"X-Forwarded-Prefix": "/music"})
    assert "servers" not in untrusted.json()


def test_what_is_documented_works(service: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None or shutil.which("unzip") is None:
        pytest.skip("curl or unzip is not installed")
    run_documented(service, tmp_path)


def test_a_client_that_hangs_up_frees_its_slot(live: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        live.post("/v1/songs", json={"seconds": 8, "seed": 1}, timeout=0.3)
    began = time.monotonic()
    while figure(live, "stems_jobs_playing"):
        assert time.monotonic() - began < 2
    cancelled = figure(live, 'stems_jobs_total{kind="song",state="cancelled"}')
    assert cancelled >= 1


def test_a_job_that_was_promised_goes_on_whoever_hangs_up(live: httpx.Client) -> None:
    name = {"Idempotency-Key": "promised"}
    job = live.post("/v1/songs", json={"seconds": 8}, headers=name | {"Prefer": ""}).json()
    with pytest.raises(httpx.ReadTimeout):
        live.post("/v1/songs", json={"seconds": 8}, headers=name, timeout=0.2)
    assert live.get(job["links"]["self"]).json()["state"] == "done"


def figure(live: httpx.Client, name: str) -> float:
    figures = dict(line.rsplit(" ", 1) for line in live.get("/metrics").text.splitlines())
    return float(figures.get(name, 0))


def test_a_job_that_is_deleted_frees_its_slot_for_the_next(live: httpx.Client) -> None:
    jobs = [live.post("/v1/songs", json={"seconds": 8}, headers={"Prefer": ""}).json() for _ in range(3)]
    for job in jobs:
        assert live.delete(job["links"]["self"]).status_code == 204
    began = time.monotonic()
    assert live.post("/v1/songs", json={"seconds": 0.5}).status_code == 200
    assert time.monotonic() - began < 3
