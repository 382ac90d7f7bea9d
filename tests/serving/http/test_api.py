from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from helpers.songs import open_zip

from models.audio.files import Audio, encode_audio, read_audio

NAMES = ["bass", "drums", "other"]


def assert_problem(answer: Any, status: int, field: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["field"] == field
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["hint"]
    assert problem["title"]
    assert problem["type"].startswith("urn:stems:problem:")
    assert "Traceback" not in answer.text
    return problem


def short(seconds: float, rate: int = 8000, level: float = 0.1) -> bytes:
    samples = np.random.default_rng(1).standard_normal((1, round(seconds * rate))).astype(np.float32)
    return encode_audio(Audio(level * samples, rate))


@pytest.mark.parametrize("format", ["wav", "flac", "opus", "ogg", "mp3"])
def test_a_song_comes_in_the_format_asked_for(local: TestClient, format: str) -> None:
    answer = local.post("/v1/songs", json={"seconds": 1, "format": format})
    files, manifest = open_zip(answer.content)
    assert list(files) == [*NAMES, "mix"]
    assert manifest["mix"] == f"mix.{format}"
    assert manifest["sample_rate"] == 32_000


def test_a_seed_repeats_a_song_and_another_does_not(local: TestClient) -> None:
    def bass(seed: int) -> bytes:
        answer = local.post("/v1/songs", json={"seconds": 1, "seed": seed, "prompt": "ü ♪"})
        assert answer.headers["x-seed"] == str(seed)
        return open_zip(answer.content)[0]["bass"].tobytes()

    assert bass(1) == bass(1)
    assert bass(1) != bass(2)


def test_without_a_seed_the_drawn_one_is_told(local: TestClient) -> None:
    answer = local.post("/v1/songs", json={"seconds": 1})
    files, manifest = open_zip(answer.content)
    assert answer.headers["x-seed"] == str(manifest["seed"])
    again = local.post("/v1/songs", json={"seconds": 1, "seed": manifest["seed"]})
    np.testing.assert_array_equal(open_zip(again.content)[0]["mix"], files["mix"])


def test_links_lead_to_the_files_of_the_zip(local: TestClient) -> None:
    fields = {"seconds": 1, "seed": 2}
    zipped, _ = open_zip(local.post("/v1/songs", json=fields).content)
    answer = local.post("/v1/songs", json=fields, headers={"Accept": "application/json"})
    result = answer.json()
    assert answer.headers["x-seed"] == "2"
    for name, link in result["links"]["stems"].items():
        file = local.get(link)
        assert file.headers["content-type"] == "audio/wav"
        np.testing.assert_array_equal(read_audio(file.content).samples[0], zipped[name])
    assert local.get(result["links"]["manifest"]).json() == result["manifest"]
    linked, manifest = open_zip(local.get(result["links"]["zip"]).content)
    assert manifest == result["manifest"]
    np.testing.assert_array_equal(linked["mix"], zipped["mix"])
    assert_problem(local.get(f"/v1/results/{result['id']}/tuba.wav"), 404, "file")
    assert_problem(local.get("/v1/results/nothing/mix.wav"), 404, "job")


def test_stems_can_be_sent_and_missing_ones_are_generated(local: TestClient) -> None:
    bass = short(1.0, rate=32_000)
    answer = local.post("/v1/edits", files={"bass": ("b.wav", bass)}, data={"silent": "other"})
    files, manifest = open_zip(answer.content)
    origins = {stem["name"]: stem["origin"] for stem in manifest["stems"]}
    assert origins == {"bass": "kept", "drums": "generated", "other": "silent"}
    sent = read_audio(bass).samples[0] * manifest["gain"]
    np.testing.assert_allclose(files["bass"], sent, atol=2 / 2**15)
    assert not files["other"].any()
    assert files["drums"].any()


def test_kept_stems_may_vary(local: TestClient, tone_wav: bytes) -> None:
    fields = {"regenerate": "bass", "keep": "free", "seed": "6"}
    answer = local.post("/v1/edits", files={"song": tone_wav}, data=fields)
    files, manifest = open_zip(answer.content)
    assert answer.headers["x-seed"] == "6"
    assert manifest["seed"] == 6
    exact, _ = open_zip(local.post("/v1/edits", files={"song": tone_wav}, data=fields | {"keep": "exact"}).content)
    assert (files["drums"] != exact["drums"]).any()
    origins = {stem["name"]: stem["origin"] for stem in manifest["stems"]}
    assert origins == {"bass": "generated", "drums": "varied", "other": "varied"}


def test_a_box_left_empty_is_as_if_not_sent(local: TestClient, tone_wav: bytes) -> None:
    fields = {"regenerate": "bass", "seed": "", "silent": "", "prompt": ""}
    assert local.post("/v1/edits", files={"song": tone_wav}, data=fields).status_code == 200


def test_a_loud_mix_is_turned_down_and_kept_stems_alike(local: TestClient) -> None:
    loud = short(1.0, rate=32_000, level=0.3)
    sent = {"bass": loud, "drums": loud}
    files, manifest = open_zip(local.post("/v1/edits", files=sent).content)
    assert 0 < manifest["gain"] < 1
    assert np.abs(files["mix"]).max() <= 1
    np.testing.assert_allclose(files["bass"] + files["drums"] + files["other"], files["mix"], atol=4 / 2**15)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"seconds": 0}', "seconds"),
        ('{"seconds": -3}', "seconds"),
        ('{"seconds": 5}', "seconds"),
        ('{"seconds": 1e999}', "seconds"),
        ('{"seconds": NaN}', "seconds"),
        ('{"seconds": "long"}', "seconds"),
        ('{"temperature": NaN}', "temperature"),
        ('{"top_p": NaN}', "top_p"),
        ('{"guidance": NaN}', "guidance"),
        ('{"guidance": Infinity}', "guidance"),
        ('{"temperature": -1}', "temperature"),
        ('{"top_k": 1.5}', "top_k"),
        ('{"top_p": 1.1}', "top_p"),
        ('{"seed": -1}', "seed"),
        ('{"seed": 9007199254740992}', "seed"),
        ('{"format": "exe"}', "format"),
        ('{"promt": "x"}', "promt"),
        ('{"prompt": 3}', "prompt"),
        ('{"prompt": "\\ud800"}', "prompt"),
        ('{"prompt": "a\\u0000b"}', "prompt"),
        ('{"prompt": "' + "x" * 2001 + '"}', "prompt"),
        ("{", "body"),
        ("[]", "body"),
        ("null", "body"),
        ("", "body"),
    ],
)
def test_a_bad_song_request_is_refused(local: TestClient, body: str, field: str) -> None:
    headers = {"Content-Type": "application/json"}
    assert_problem(local.post("/v1/songs", content=body, headers=headers), 422, field)


@pytest.mark.parametrize("body", ["9" * 5000, '{"seed": ' + "9" * 5000 + "}", "[" * 100_000, "\udcff"])
def test_a_body_made_to_break_parsers_is_refused(local: TestClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = local.post("/v1/songs", content=body.encode("utf-8", "surrogateescape"), headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("files", "fields", "status", "field"),
    [
        ({"song": b"just text"}, {"regenerate": "bass"}, 415, "song"),
        ({"bass": b"RIFF\x00\x00\x00\x00WAVE"}, {}, 415, "bass"),
        ({"song": b""}, {"regenerate": "bass"}, 422, "song"),
        ({"song": short(0.1)}, {"regenerate": "bass"}, 422, "song"),
        ({"song": short(5)}, {"regenerate": "bass"}, 422, "song"),
        ({"drums": short(5)}, {}, 422, "drums"),
        ({"song": short(1, rate=300_000)}, {"regenerate": "bass"}, 422, "song"),
        ({"song": short(1)}, {}, 422, "regenerate"),
        ({"song": short(1)}, {"regenerate": "tuba"}, 422, "regenerate"),
        ({"song": short(1)}, {"regenerate": "bass", "keep": "maybe"}, 422, "keep"),
        ({"song": short(1)}, {"regenerate": "bass", "guidance": "nan"}, 422, "guidance"),
        ({"song": short(1)}, {"regenerate": "bass", "sede": "1"}, 422, "sede"),
        ({"song": short(1)}, {"regenerate": "bass", "seed": ["1", "2"]}, 422, "seed"),
        ({"song": short(1), "bass": short(1)}, {}, 422, "song"),
        ({"tuba": short(1)}, {}, 422, "tuba"),
        ({"prompt": short(1)}, {}, 422, "prompt"),
        ({}, {"regenerate": "bass"}, 422, "song"),
    ],
)
def test_a_bad_edit_is_refused(
    local: TestClient, files: dict[str, bytes], fields: dict[str, Any], status: int, field: str
) -> None:
    # An extra part keeps the body multipart where there is no file.
    parts: list[Any] = [(name, (f"{name}.wav", data)) for name, data in files.items()]
    answer = local.post("/v1/edits", files=parts or {"regenerate": (None, "drums")}, data=fields)
    assert_problem(answer, status, field)


@pytest.mark.parametrize("again", ["bass", "Bass"])
def test_the_same_file_twice_is_refused(local: TestClient, again: str) -> None:
    parts = [("bass", ("a.wav", short(1))), (again, ("b.wav", short(1)))]
    assert_problem(local.post("/v1/edits", files=parts), 422, again)


def test_a_stem_is_taken_in_any_case_and_stays_as_it_is(local: TestClient) -> None:
    files = [("Bass", ("a.wav", short(1.0))), ("DRUMS", ("b.wav", short(1.0)))]
    _, manifest = open_zip(local.post("/v1/edits", files=files).content)
    origins = {stem["name"]: stem["origin"] for stem in manifest["stems"]}
    assert origins == {"bass": "kept", "drums": "kept", "other": "generated"}


def test_the_likely_name_of_a_stem_is_offered(local: TestClient) -> None:
    answer = local.post("/v1/edits", files={"song - Bass": ("song - Bass.wav", short(1.0))})
    assert_problem(answer, 422, "song - Bass")
    assert answer.json()["hint"] == "Send it as 'bass'."


def test_a_malformed_multipart_body_is_refused(local: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = local.post("/v1/edits", content=b"--y\r\nnonsense", headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    headless = local.post("/v1/edits", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert headless.status_code == 400


@pytest.mark.parametrize(
    ("path", "content_type"), [("/v1/songs", "text/plain"), ("/v1/songs", ""), ("/v1/edits", "application/json")]
)
def test_another_content_type_is_refused(local: TestClient, path: str, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert_problem(local.post(path, content=b"{}", headers=headers), 415, "content-type")


def test_a_large_body_is_refused(local: TestClient) -> None:
    assert_problem(local.post("/v1/edits", files={"song": b"0" * 1_100_000}), 413, "body")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2/songs", 404), ("PUT", "/v1/songs", 405)])
def test_wrong_paths_and_methods_are_problems_too(local: TestClient, method: str, path: str, status: int) -> None:
    assert_problem(local.request(method, path), status, "")


def test_files_beside_the_page_stay_inside(local: TestClient) -> None:
    assert local.get("/style.css").status_code == 200
    for path in ("/../api.py", "/%2e%2e/api.py", "/..%2fapi.py", "/....//api.py"):
        assert local.get(path).status_code == 404


def test_a_fault_of_ours_tells_nothing_of_the_inside(local: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.jobs.runner.kept_files", lambda *_: 1 / 0)
    answer = local.post("/v1/songs", json={"seconds": 1}, headers={"X-Request-Id": "find-me"})
    problem = assert_problem(answer, 500, "")
    assert problem["request_id"] == "find-me"
    assert "division" not in answer.text


def test_the_model_card(local: TestClient) -> None:
    card = local.get("/v1/model").json()
    assert [stem["name"] for stem in card["stems"]] == NAMES
    assert card["sample_rate"] == 32_000
    assert card["limits"]["max_seconds"] == 4  # the service's; the model could do more
    assert card["separates"] is True
