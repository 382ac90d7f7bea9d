"""The studio's page, driven in a browser, and what the service knows of what is made with it."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import numpy as np
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from models.audio.files import read_audio

HEARD = """async () => {
  const bytes = new Uint8Array((await studio.render()).slice().buffer);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}"""


class Studio:
    """The page, and what the service knows of what is made with it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        page.set_default_timeout(20_000)

    def open(self) -> None:
        self.page.goto(self.url)
        expect(self.page.locator("#submit")).to_be_enabled()

    def make(self, prompt: str = "warm bass", seconds: float = 2, seed: int | None = 7) -> str:
        """Make a song, and answer its job's id."""
        self.page.get_by_label("What should it sound like?").fill(prompt)
        self.page.get_by_label("Seconds", exact=True).fill(f"{seconds}")
        if seed is not None:
            self.page.get_by_label("Seed", exact=True).fill(f"{seed}")
        self.page.get_by_role("button", name="Make the song").click()
        return self.done(1)

    def done(self, count: int) -> str:
        """Wait for so many takes to be ready; the job of the last one."""
        self.until(f"studio.takes.length === {count} && studio.takes.every((take) => take.done)")
        return str(self.page.evaluate("studio.takes.at(-1).job"))

    def until(self, condition: str, seconds: float = 20) -> None:
        # Not `wait_for_function`, which the page's security policy forbids.
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"{condition}: {self.page.evaluate('studio.takes')}"
            self.page.wait_for_timeout(30)

    def heard(self) -> np.ndarray:
        """What would be heard now, from start to end."""
        return np.frombuffer(base64.b64decode(self.page.evaluate(HEARD)), "<f4")

    def lane(self, stem: str) -> Any:
        return self.page.locator(f".lane[data-stem={stem}]")

    def drag(self, stem: str, start: float, end: float) -> None:
        """Draw a region, in shares of the waveform."""
        track = self.lane(stem).locator(".track")
        track.scroll_into_view_if_needed()
        box = track.bounding_box()
        self.page.mouse.move(box["x"] + start * box["width"], box["y"] + 20)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + end * box["width"], box["y"] + 30, steps=5)
        self.page.mouse.up()

    def tab_to(self, selector: str) -> None:
        """Press Tab until something has the focus, and is seen to have it."""
        for _ in range(80):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                break
        else:
            raise AssertionError(f"Tab never comes to {selector}")
        assert self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"

    def file(self, job: str, name: str) -> bytes:
        answer = httpx.get(f"{self.url}/v1/results/{job}/{name}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def sound(self, job: str, stem: str) -> np.ndarray:
        return np.asarray(read_audio(self.file(job, f"{stem}.wav")).samples[0])

    def manifest(self, job: str) -> Any:
        return json.loads(self.file(job, "manifest.json"))

    def changed(self, job: str, of: str, stem: str) -> np.ndarray:
        """The samples of a stem in which an edit differs from what it was made of."""
        gain = self.manifest(job)["gain"]
        slack = 0 if gain == 1 else 2 / 2**15  # what was turned down is rounded anew
        return np.flatnonzero(np.abs(self.sound(job, stem) - gain * self.sound(of, stem)) > slack)


def level(samples: np.ndarray) -> float:
    """The peak, in dBFS."""
    return float(20 * np.log10(np.abs(samples).max() + 1e-12))


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found]
