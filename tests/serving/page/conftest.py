"""A browser on the live service's page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from helpers.studio import Studio
from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
]


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of a browser."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("STEMS_NEEDS_BROWSER"):
        pytest.fail("no Chromium, which STEMS_NEEDS_BROWSER asks for")
    pytest.skip("no Chromium: install it to test the page")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def studio(service: str, browser: Browser) -> Iterator[Studio]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    studio = Studio(page, service)
    studio.open()
    yield studio
    context.close()
    assert faults == []
