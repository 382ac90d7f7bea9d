"""The service as it runs: Ray Serve, HTTP, a real model with random weights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from helpers.songs import open_zip

from models.audio import Audio

API_DOC = Path(__file__).parents[2] / "docs" / "API.md"
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


def test_the_documented_commands_work(service: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None or shutil.which("unzip") is None:
        pytest.skip("curl or unzip is not installed")
    blocks = re.findall(r"```bash\n(.*?)```", API_DOC.read_text(), flags=re.DOTALL)
    script = "\n".join(blocks).replace("http://127.0.0.1:8000", service)
    assert script.count("curl -f") >= 8
    settings = {**os.environ, "no_proxy": "127.0.0.1"}
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=settings, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for name in ("edited.zip", "band.zip", "duo.zip"):
        files, _ = open_zip((tmp_path / name).read_bytes())
        assert list(files) == [*NAMES, "mix"]
    assert (tmp_path / "mix.flac").read_bytes().startswith(b"fLaC")
