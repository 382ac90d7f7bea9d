"""What a real browser does with results, prefixes and pages of others; the service runs without Ray."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.listening import listening
from helpers.prefix_proxy import prefix_proxy
from helpers.studio import Studio
from playwright.sync_api import Browser, Page, Route, expect
from starlette.responses import HTMLResponse

from serving.client.client import Stems
from serving.config import ServeConfig
from serving.http.api import create_app

SEEK = """async (src) => {
  const audio = new Audio(src);
  const happens = (kind) => new Promise((resolve, reject) => {
    audio.addEventListener(kind, resolve, { once: true });
    audio.addEventListener("error", () => reject(audio.error.message), { once: true });
  });
  await happens("loadedmetadata");
  const { duration } = audio;
  audio.currentTime = duration - 0.5;
  await happens("seeked");
  return { duration, at: audio.currentTime, end: audio.seekable.end(0) };
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


@pytest.fixture
def longer(settings: ServeConfig) -> ServeConfig:
    return settings.model_copy(update={"hosts": (), "max_seconds": 60})


def test_a_plain_audio_element_seeks(page: Page, band: Any, longer: ServeConfig) -> None:
    with listening(create_app(longer, band)) as (host, port):
        base = f"http://{host}:{port}"
        song = httpx.post(f"{base}/v1/songs", json={"seconds": 8}, headers={"Prefer": "wait=60"}, timeout=60)
        statuses: list[int] = []
        page.on("response", lambda answer: statuses.append(answer.status) if "/mix." in answer.url else None)
        page.goto(base)
        for format in ("wav", "mp3", "ogg"):
            found = page.evaluate(SEEK, f"/v1/results/{song.headers['x-job-id']}/mix.{format}")
            assert found["at"] == pytest.approx(found["duration"] - 0.5, abs=0.01)
            assert found["end"] == pytest.approx(found["duration"], abs=0.5)
            assert found["duration"] == pytest.approx(8, abs=0.2)
        assert set(statuses) == {206}


TOLD = {"X-Forwarded-Prefix": "/music", "X-Forwarded-Host": "{host}", "X-Forwarded-Proto": "http"}


@pytest.mark.parametrize("how", ["root_path", "forwarded"])
def test_the_studio_works_below_a_prefix(
    page: Page, band: Any, longer: ServeConfig, tmp_path: Path, how: str
) -> None:
    """Either the operator says the prefix and the proxy keeps Host, or the proxy says all that it changes."""
    forwarded = how == "forwarded"
    more: dict[str, object] = {"trusted_proxies": ("127.0.0.1",)} if forwarded else {"root_path": "/music"}
    with (
        listening(create_app(longer.model_copy(update=more), band)) as (_, port),
        prefix_proxy(port, TOLD if forwarded else {}, keeps_host=not forwarded) as base,
    ):
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        studio = Studio(page, f"{base}/")
        studio.open()
        job = studio.make(seconds=1)
        with page.expect_download() as saved:
            page.get_by_role("button", name="All files (zip)").click()
        saved.value.save_as(tmp_path / "song.zip")
        assert (tmp_path / "song.zip").read_bytes()[:2] == b"PK"
        assert not [url for url in urls if not url.startswith((f"{base}/", "blob:", "data:"))]
        with Stems(base) as stems:
            found = stems.job(job)
            assert str(found.links.mix).startswith("/music/v1/results/")
            assert stems.mix(found)[:4] == b"RIFF"
            assert [event.kind for event in stems.events(job)][-1] == "end"
        accepted = httpx.post(f"{base}/v1/songs", json={"seconds": 0.5})
        there = httpx.get(accepted.url.join(accepted.headers["location"]))
        assert there.json()["id"] == accepted.json()["id"]
        _read_docs(page, base)


READER = """
window.SwaggerUIBundle = async ({ url }) => { window.read = await (await fetch(url)).json(); };
SwaggerUIBundle.presets = SwaggerUIBundle.SwaggerUIStandalonePreset = {};"""


def _read_docs(page: Page, base: str) -> None:
    """/docs loads its parts from a public CDN; in their place stands what asks for the document."""

    def stub(route: Route) -> None:
        route.fulfill(body=READER if route.request.url.endswith(".js") else "", content_type="text/javascript")

    page.route(re.compile("^https://"), stub)
    page.goto(f"{base}/")
    page.get_by_role("link", name="public API").click()
    expect(page).to_have_url(f"{base}/docs")
    page.wait_for_function("window.read")
    assert page.evaluate("window.read.servers") == [{"url": "/music"}]


ATTACK = """<!doctype html><title>a page of another</title>
<iframe name="sink"></iframe>
<form method="post" action="SERVICE/v1/edits" enctype="multipart/form-data" target="sink">
<input name="regenerate" value="bass"></form>
<img src="SERVICE/icon.svg"><a href="SERVICE/">a link</a>"""

SEND = """async (service) => {
  document.forms[0].submit();
  const song = { method: "POST", mode: "no-cors", body: JSON.stringify({ seconds: 1 }) };
  await fetch(`${service}/v1/songs`, song).catch(() => {});
  return fetch(`${service}/v1/model`).then(() => "read", () => "refused");
}"""


class Witness:
    """Notes what a service answers: a browser does not say what became of a request that it keeps from a page."""

    def __init__(self, app: Any) -> None:
        self.app, self.answered = app, dict[str, int]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.answered[scope["path"]] = message["status"]
            await send(message)

        await self.app(scope, receive, noted)


def test_a_page_of_another_reaches_nothing(page: Page, band: Any, longer: ServeConfig) -> None:
    page_of_another = HTMLResponse("")
    app = Witness(create_app(longer, band))
    with listening(app) as (host, port), listening(page_of_another) as (_, elsewhere):
        service = f"http://{host}:{port}"
        page_of_another.body = ATTACK.replace("SERVICE", service).encode()
        page_of_another.headers["content-length"] = str(len(page_of_another.body))
        for origin in (f"http://127.0.0.1:{elsewhere}", f"http://evil.example:{elsewhere}"):
            app.answered.clear()
            page.goto(origin)
            assert page.evaluate(SEND, service) == "refused"
            page.get_by_role("link").click()
            expect(page.locator("body")).to_contain_text("urn:stems:problem:foreign")
            assert {"/v1/edits", "/v1/songs", "/v1/model", "/icon.svg", "/"} <= set(app.answered)
            app.answered.pop("/favicon.ico", None)  # of the refusal itself, which is shown
            assert set(app.answered.values()) == {403}
        assert "stems_jobs_queued 0.0" in httpx.get(f"{service}/metrics").text


def test_a_name_that_was_made_to_mean_this_machine_reads_nothing(page: Page, band: Any, longer: ServeConfig) -> None:
    with listening(create_app(longer, band)) as (_, port):
        answer = page.goto(f"http://evil.example:{port}/")
        assert answer is not None
        assert answer.status == 403
        read = "() => fetch('/v1/model', { headers: { 'X-Forwarded-Host': '127.0.0.1' } }).then((a) => a.status)"
        assert page.evaluate(read) == 403
