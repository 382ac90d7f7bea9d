from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from helpers.songs import open_zip

from models.audio.files import FORMATS, Audio, encode_audio, read_audio
from serving.config import ServeConfig
from serving.http.api import create_app
from serving.http.files.disposition import disposition
from serving.http.files.recent_files import RecentFiles

FILES = [
    "song.zip",
    "mix.wav",
    "mix.flac",
    "mix.opus",
    "mix.ogg",
    "mix.mp3",
    "bass.mp3",
    "codes.npy",
    "manifest.json",
]


@pytest.fixture
def results(local: TestClient) -> str:
    done = local.post("/v1/songs", json={"seconds": 1, "seed": 3}, headers={"Accept": "application/json"}).json()
    return f"/v1/results/{done['id']}"


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_sound_is_the_same_bytes(format: Any) -> None:
    samples = np.random.default_rng(1).standard_normal((1, 20_000)).astype(np.float32) / 10
    first = encode_audio(Audio(samples, 16_000), format)
    assert encode_audio(Audio(samples, 16_000), format) == first
    assert read_audio(first).samples.any()


@pytest.mark.parametrize("file", FILES)
def test_parts_of_a_file_make_the_file(local: TestClient, results: str, file: str) -> None:
    whole = local.get(f"{results}/{file}")
    assert whole.headers["accept-ranges"] == "bytes"
    size, etag = len(whole.content), whole.headers["etag"]
    joined = b""
    for asked in ("0-99", f"100-{size - 10}", "-9"):
        part = local.get(f"{results}/{file}", headers={"Range": f"bytes={asked}", "If-Range": etag})
        assert part.status_code == 206
        start, stop = len(joined), len(joined) + len(part.content)
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["content-length"] == str(len(part.content))
        assert (part.headers["etag"], part.headers["content-type"]) == (etag, whole.headers["content-type"])
        joined += part.content
    assert joined == whole.content


def test_a_part_that_is_not_there_is_refused(local: TestClient, results: str) -> None:
    size = len(local.get(f"{results}/mix.ogg").content)
    answer = local.get(f"{results}/mix.ogg", headers={"Range": f"bytes={size}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    assert answer.json()["type"] == "urn:stems:problem:range"


def test_a_file_that_is_known_is_not_sent_again(local: TestClient, results: str) -> None:
    etag = local.get(f"{results}/mix.opus").headers["etag"]
    assert etag.startswith('"')
    again = local.get(f"{results}/mix.opus", headers={"If-None-Match": etag, "Range": "bytes=0-1"})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert again.headers["cache-control"] == "private, no-cache"
    assert local.get(f"{results}/mix.ogg", headers={"If-None-Match": etag}).status_code == 200


def test_a_restarted_service_gives_the_same_bytes(
    local: TestClient, results: str, band: Any, settings: ServeConfig
) -> None:
    before = {file: local.get(f"{results}/{file}") for file in FILES}
    with TestClient(create_app(settings, band)) as again:
        for file, answer in before.items():
            assert again.get(f"{results}/{file}").headers["etag"] == answer.headers["etag"], file


@pytest.mark.parametrize(
    "path", ["/", "/app.js", "/docs", "/openapi.json", "/v1/model", "/livez", "/readyz", "/metrics"]
)
def test_head_answers_as_get_without_a_body(local: TestClient, results: str, path: str) -> None:
    for place in (path, f"{results}/mix.mp3", f"{results}/song.zip", results.replace("results", "jobs")):
        told, got = local.head(place), local.get(place)
        assert (told.status_code, told.content) == (200, b"")
        for name in ("content-type", "content-length", "etag", "accept-ranges", "cache-control"):
            assert path == "/metrics" or told.headers.get(name) == got.headers.get(name), (place, name)


def test_head_of_a_part_and_of_what_is_not_there(local: TestClient, results: str) -> None:
    part = local.head(f"{results}/mix.wav", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"], part.content) == (206, "10", b"")
    gone = local.head(f"{results}/tuba.wav")
    assert (gone.status_code, gone.content) == (404, b"")
    events = local.head(results.replace("results", "jobs") + "/events")
    assert (events.status_code, events.headers["allow"]) == (405, "GET")


def test_an_answer_to_a_request_for_music_is_whole(local: TestClient) -> None:
    """A part of what is only being made makes no sense."""
    answer = local.post("/v1/songs", json={"seconds": 0.5}, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content[:2]) == (200, b"PK")


def test_a_song_that_was_waited_for_is_not_kept_in_memory(local: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    get = RecentFiles.get

    async def noting(self: RecentFiles, key: Any, make: Any) -> Any:
        kept.append(key)
        return await get(self, key, make)

    monkeypatch.setattr(RecentFiles, "get", noting)
    answer = local.post("/v1/songs", json={"seconds": 0.5})
    assert (answer.status_code, kept) == (200, [])
    assert local.get(f"/v1/results/{answer.headers['X-Job-Id']}/mix.wav").status_code == 200
    assert len(kept) == 1


def test_a_deleted_result_is_gone_at_once(local: TestClient, results: str) -> None:
    etag = local.get(f"{results}/mix.mp3").headers["etag"]
    assert local.delete(results.replace("results", "jobs")).status_code == 204
    assert local.get(f"{results}/mix.mp3", headers={"If-None-Match": etag}).status_code == 404


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("", "mix.wav"),
        ("calm piano", "calm piano mix.wav"),
        ("静かなピアノ ♪", "静かなピアノ ♪ mix.wav"),
        ('../../etc/passwd "x"', "etc passwd x mix.wav"),
        ("a\r\nSet-Cookie: b=1", "a Set-Cookie b=1 mix.wav"),
        ("..hidden", "hidden mix.wav"),
        ("evil\u202e3pm.exe", "evil 3pm.exe mix.wav"),
        ("word " * 30, "word word word word word word word word word word mix.wav"),
        ("x" * 200, "x" * 50 + " mix.wav"),
    ],
)
def test_a_file_is_saved_under_the_beginning_of_its_prompt(prompt: str, name: str) -> None:
    header = disposition("mix.wav", prompt)
    assert header.startswith("attachment; filename=\"mix.wav\"; filename*=UTF-8''")
    assert header.isascii()
    assert header.isprintable()
    assert unquote(header.partition("UTF-8''")[2]) == name


def test_answers_say_how_they_are_to_be_saved(local: TestClient) -> None:
    song = local.post("/v1/songs", json={"seconds": 0.5, "prompt": "ü ♪"})
    assert song.headers["content-disposition"].endswith("''%C3%BC%20%E2%99%AA%20song.zip")
    base = f"/v1/results/{song.headers['x-job-id']}"
    kinds = {file: local.get(f"{base}/{file}").headers["content-disposition"].partition(";")[0] for file in FILES}
    assert kinds["song.zip"] == kinds["codes.npy"] == "attachment"
    assert kinds["mix.mp3"] == kinds["manifest.json"] == "inline"


def test_a_file_is_made_once_however_many_ask_for_it() -> None:
    made: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def make() -> bytes:
        made.append("x")
        begun.set()
        go_on.wait(10)
        return b"x" * 10

    async def ask() -> None:
        files = RecentFiles(most_bytes=15)
        first, second = (asyncio.create_task(files.get(("job", "a"), make)) for _ in range(2))
        await asyncio.to_thread(begun.wait, 10)
        first.cancel()  # its client has left
        go_on.set()
        file = await second
        assert file is not None
        assert await files.get(("job", "a"), make) == file
        assert len(made) == 1
        await files.get(("job", "b"), lambda: b"y" * 10)  # for which the first has to go
        await files.get(("job", "a"), make)
        assert len(made) == 2
        await files.get(("job", "large"), lambda: b"z" * 16)
        await files.get(("job", "a"), make)
        assert len(made) == 2
        files.forget("job")
        await files.get(("job", "a"), make)
        assert len(made) == 3

    asyncio.run(ask())


def test_a_file_that_cannot_be_made_is_tried_again() -> None:
    def fail() -> bytes:
        raise OSError("disk")

    async def ask() -> None:
        files = RecentFiles()
        with pytest.raises(OSError, match="disk"):
            await files.get(("job", "a"), fail)
        assert await files.get(("job", "a"), lambda: None) is None
        found = await files.get(("job", "a"), lambda: b"x")
        assert found is not None

    asyncio.run(ask())


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_goes_on_where_it_stopped(wire: tuple[str, int], tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{wire[1]}"
    song = httpx.post(f"{base}/v1/songs", json={"seconds": 2}, headers={"Prefer": "wait=60"}, timeout=60)
    for file in ("mix.mp3", "mix.ogg", "song.zip"):
        place = f"{base}/v1/results/{song.headers['x-job-id']}/{file}"
        whole = httpx.get(place).content
        (tmp_path / file).write_bytes(whole[:1000])
        subprocess.run(["curl", "-sf", "-C", "-", "-o", str(tmp_path / file), place], check=True)
        assert (tmp_path / file).read_bytes() == whole
    assert open_zip((tmp_path / "song.zip").read_bytes())[1]["seconds"] == 2
    assert subprocess.run(["curl", "-sfI", place], check=True, capture_output=True).stdout.startswith(b"HTTP/1.1 200")
