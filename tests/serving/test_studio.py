"""The studio as a person uses it: in Chromium, on the live service."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from models.audio import read_audio

IMAGES = Path(__file__).parents[2] / "docs" / "images"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
PROBLEM = "application/problem+json"

HEARD = """async () => {
  const bytes = new Uint8Array((await studio.render()).slice().buffer);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}"""

# A take that comes late: 1.5 s of it, and the rest when it is asked for. Whole numbers do not survive sound in
# one piece if it is off by a sample anywhere.
LATE = """async () => {
  const [{ Player }, { Deck }] = await Promise.all([import("/player.js"), import("/deck.js")]);
  const rate = 32000;
  const samples = Float32Array.from({ length: 3 * rate }, (_, i) => Math.sin(i * i) / 2);
  const deck = new Deck(["one"], rate);
  const player = new Player(rate, ["one"], () => {});
  const bring = (from, to) => player.arrived(deck, "one", deck.append("one", from, samples.subarray(from, to)));
  deck.expect(samples.length);
  player.put("a", deck);
  for (const [from, to] of [[0, 9001], [8000, 33333], [33333, 48000]]) bring(from, to);
  window.late = {
    player,
    bring: () => bring(48000, samples.length),
    finish: () => { deck.finish({ one: samples }); player.finished(deck); },
    off: async () => {
      const heard = await player.render();
      return heard.reduce((most, sample, i) => Math.max(most, Math.abs(sample - samples[i])), 0);
    },
  };
}"""


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
def browser(chromium: str, service: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


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


@pytest.fixture
def studio(browser: Browser, service: str) -> Iterator[Studio]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    studio = Studio(page, service)
    studio.open()
    yield studio
    context.close()
    assert faults == []


def level(samples: np.ndarray) -> float:
    """The peak, in dBFS."""
    return float(20 * np.log10(np.abs(samples).max() + 1e-12))


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found]


def test_a_song_is_made_heard_changed_compared_and_saved(studio: Studio) -> None:
    page, first = studio.page, studio.make()
    names = [stem["name"] for stem in httpx.get(f"{studio.url}/v1/model").json()["stems"]]
    expect(page.locator(".lane-name")).to_have_text(names)
    expect(page.locator(".take-label")).to_have_text(["Take 1 · seed 7"])

    # What is heard is the mix; muting and soloing change that.
    stems = {name: studio.sound(first, name) for name in names}
    assert min(level(stem) for stem in stems.values()) > -60
    assert level(studio.heard() - studio.sound(first, "mix")) < -80
    one, *others = names
    studio.lane(one).get_by_role("button", name=f"Mute {one}").click()
    assert level(studio.heard() - sum(stems[name] for name in others)) < -80
    solo = studio.lane(one).get_by_role("button", name=f"Solo {one}")
    solo.click()
    assert level(studio.heard() - stems[one]) < -80
    studio.lane(one).get_by_role("slider", name=f"Gain of {one}").fill("0.5")
    assert level(studio.heard() - stems[one] / 2) < -80
    studio.lane(one).get_by_role("slider", name=f"Gain of {one}").fill("1")
    solo.click()
    studio.lane(one).get_by_role("button", name=f"Mute {one}").click()

    # A region of one stem is played anew, and nothing else is.
    studio.drag(one, 0.25, 0.75)
    start, end = (float(studio.lane(one).locator(part).input_value()) for part in (".from", ".to"))
    assert (start, end) == pytest.approx((0.5, 1.5), abs=0.03)
    page.get_by_label("Seed", exact=True).fill("11")
    studio.lane(one).get_by_role("button", name="Regenerate this stem here").click()
    second = studio.done(2)
    assert [len(studio.changed(second, first, name)) for name in others] == [0, 0]
    differ = studio.changed(second, first, one)
    assert round(start * 32_000) <= differ.min() < differ.max() < round(end * 32_000)
    assert len(differ) > 0.5 * (end - start) * 32_000
    label = page.locator(".take-label").first
    expect(label).to_have_text(re.compile(rf"Take 2 · {one} 0\.\d+–1\.\d+ s · seed 11"))
    expect(page.locator(".take-note").first).to_contain_text("from take 1")

    # A and B are switched while they play, by a key, at the same position.
    assert level(studio.heard() - studio.sound(second, "mix")) < -80
    page.get_by_role("button", name="Play", exact=True).click()
    studio.until("studio.playing && studio.position > 0.3")
    before = page.evaluate("[studio.slot, studio.position]")
    page.keyboard.press("x")
    after = page.evaluate("[studio.slot, studio.position, studio.playing]")
    assert [before[0], after[0], after[2]] == ["b", "a", True]
    assert before[1] <= after[1] < before[1] + 0.5
    assert level(studio.heard() - studio.sound(first, "mix")) < -80
    expect(page.locator("#song-title")).to_have_text("Take 1")

    # What is saved is the file that the API gives.
    with page.expect_download() as download:
        studio.lane(one).get_by_role("button", name=f"Save {one}").click()
    assert download.value.suggested_filename == f"take-1-{one}.wav"
    assert Path(download.value.path()).read_bytes() == studio.file(first, f"{one}.wav")
    for name, file in {"All files (zip)": "song.zip", "Mix": "mix.wav", "Manifest": "manifest.json"}.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        assert download.value.suggested_filename == f"take-1-{file}"
        assert Path(download.value.path()).read_bytes() == studio.file(first, file)

    # The takes are still there after the page was loaded again.
    page.reload()
    expect(page.locator("#submit")).to_be_enabled()
    assert studio.done(2) == second
    expect(page.locator("#clock")).to_have_text("0:00.0 / 0:02.0")
    assert level(studio.heard() - studio.sound(second, "mix")) < -80


def test_another_texture_is_offered_where_there_is_one_and_the_seed_is_kept(studio: Studio) -> None:
    page, _ = studio.page, studio.make(seconds=1, seed=5)
    page.get_by_label("Keep the seed (5)").check()
    offered = {}
    for stem in httpx.get(f"{studio.url}/v1/model").json()["stems"]:
        button = studio.lane(stem["name"]).get_by_role("button", name="Another texture")
        offered[stem["name"]] = button.is_visible()
        assert offered[stem["name"]] == (stem["codebooks"] >= 2)
    [rich] = [name for name, there in offered.items() if there]
    studio.lane(rich).get_by_role("button", name="Another texture").click()
    varied = studio.manifest(studio.done(2))
    assert varied["seed"] == 5
    assert {stem["name"]: stem["origin"] for stem in varied["stems"]}[rich] == "varied"


def test_a_song_of_ones_own_is_changed(studio: Studio, tone_wav: bytes) -> None:
    page = studio.page
    page.locator("#file").set_input_files({"name": "tone.wav", "mimeType": "audio/wav", "buffer": tone_wav})
    page.get_by_role("button", name="Play the stems anew").click()
    job = studio.done(1)
    assert [stem["origin"] for stem in studio.manifest(job)["stems"]] == ["generated", "kept", "kept"]
    assert level(studio.heard() - studio.sound(job, "mix")) < -80


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_anyone(studio: Studio, scheme: Any) -> None:
    page = studio.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    narrow = "document.documentElement.scrollWidth"
    assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate(narrow) == 360
    studio.make(seconds=1)
    studio.drag("bass", 0.2, 0.6)
    assert page.evaluate(narrow) == 360
    assert violations(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_label("Seconds", exact=True).fill("0")
    page.get_by_role("button", name="Make the song").click()
    expect(page.locator(".problem")).to_be_visible()
    assert violations(page) == []


def test_all_is_done_by_keys(studio: Studio) -> None:
    keys = studio.page.keyboard
    studio.tab_to("#prompt")
    keys.type("a slow beat")
    studio.tab_to("#seconds")
    keys.press("Control+a")
    keys.type("2")
    keys.press("Enter")
    first = studio.done(1)
    studio.tab_to("#play")
    keys.press("Space")
    studio.until("studio.playing && studio.position > 0.1")
    keys.press("Space")
    studio.until("!studio.playing")
    studio.tab_to("#seek")
    keys.press("Home")
    keys.press("ArrowRight")
    studio.until("studio.position === 0.05")
    studio.tab_to("[data-stem=drums] .solo")
    keys.press("Space")
    assert level(studio.heard() - studio.sound(first, "drums")) < -80
    studio.tab_to("[data-stem=drums] .from")
    keys.type("0.5")
    studio.tab_to("[data-stem=drums] .to")
    keys.type("1.5")
    studio.tab_to("[data-stem=drums] .again")
    keys.press("Enter")
    second = studio.done(2)
    differ = studio.changed(second, first, "drums")
    assert 16_000 <= differ.min() < differ.max() < 48_000
    studio.tab_to(".take:last-child [data-slot=b]")
    keys.press("Enter")
    studio.until("studio.slot === 'b'")
    assert level(studio.heard() - studio.sound(first, "drums")) < -80
    studio.tab_to("#shortcuts")
    keys.press("Space")
    keys.press("x")
    assert studio.page.evaluate("studio.slot") == "b"  # the shortcut is turned off


def test_a_problem_is_shown_by_the_field_it_names(studio: Studio) -> None:
    page, seconds = studio.page, studio.page.locator("#seconds")
    seconds.fill("0.1")
    page.get_by_role("button", name="Make the song").click()
    expect(page.locator("[data-field=seconds] .problem")).to_contain_text("seconds")
    expect(seconds).to_have_attribute("aria-invalid", "true")
    expect(seconds).to_have_accessible_description(re.compile("seconds"))
    expect(seconds).to_be_focused()
    studio.make(seconds=1)
    expect(page.locator(".problem")).to_have_count(0)
    expect(seconds).not_to_have_attribute("aria-invalid", "true")

    studio.lane("drums").locator(".from").fill("0.8")
    studio.lane("drums").locator(".to").fill("0.2")
    studio.lane("drums").get_by_role("button", name="Regenerate").click()
    expect(studio.lane("drums").locator(".bounds .problem")).to_be_visible()
    expect(studio.lane("drums").locator(".from")).to_be_focused()

    page.locator("#file").set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound"})
    page.get_by_role("button", name="Play the stems anew").click()
    expect(page.locator("#drop .problem")).to_contain_text("notes.txt")
    page.get_by_role("button", name="Leave it out").click()
    expect(page.get_by_role("button", name="Make the song")).to_be_visible()
    assert page.evaluate("studio.takes.length") == 1


def test_a_key_is_asked_for_and_sent_with_everything(studio: Studio) -> None:
    page, seen = studio.page, set()

    def keyed(route: Route) -> None:
        given = route.request.headers.get("authorization", "")
        seen.add(given)
        if given == "Bearer right":
            route.continue_(headers={k: v for k, v in route.request.headers.items() if k != "authorization"})
        else:
            problem = {"detail": "The API key is not known.", "mend": "Send one.", "field": "authorization"}
            route.fulfill(status=401, body=json.dumps(problem), content_type=PROBLEM)

    page.route("**/v1/**", keyed)
    page.reload()
    page.get_by_label("Your key").fill("wrong")
    page.get_by_role("button", name="Use the key").click()
    expect(page.locator("#key .problem")).to_have_text("The API key is not known. Send one.")
    page.get_by_label("Your key").fill("right")
    page.keyboard.press("Enter")
    expect(page.locator("#key")).to_be_hidden()
    expect(page.locator("#submit")).to_be_enabled()
    seen.clear()
    studio.make(seconds=1)
    with page.expect_download():
        page.get_by_role("button", name="Mix").click()
    assert seen == {"Bearer right"}


def test_a_busy_service_is_asked_again_and_makes_one_song(studio: Studio) -> None:
    page, tokens = studio.page, []

    def busy(route: Route) -> None:
        tokens.append(route.request.headers["idempotency-key"])
        if len(tokens) > 1:
            route.continue_()
            return
        problem = {"detail": "Too many wait already.", "mend": "Come back soon.", "field": ""}
        route.fulfill(status=503, body=json.dumps(problem), content_type=PROBLEM, headers={"Retry-After": "1"})

    page.route("**/v1/songs", busy)
    page.get_by_role("button", name="Make the song").click()
    note = page.locator(".take-note")
    expect(note).to_contain_text(re.compile(r"Too many wait already\. Come back soon\. Asking again in \d s"))
    studio.done(1)
    assert len(tokens) == 2
    assert len(set(tokens)) == 1


def test_a_broken_stream_is_taken_up_where_it_broke(studio: Studio) -> None:
    page, lasts, told = studio.page, [], []

    def broken(route: Route) -> None:
        lasts.append(route.request.headers.get("last-event-id"))
        if len(lasts) > 1:
            route.continue_()
            return
        whole = httpx.get(route.request.url, timeout=30).text
        head = "".join(f"{event}\n\n" for event in whole.split("\n\n")[:2])
        told.extend(re.findall(r"^id: (\d+)", head, flags=re.MULTILINE))
        route.fulfill(body=head + "event: progress\nda", content_type="text/event-stream")

    page.route("**/events?audio=true", broken)
    job = studio.make(seconds=3)
    assert lasts == [None, told[-1]]
    assert level(studio.heard() - studio.sound(job, "mix")) < -80


def test_a_take_that_is_cancelled_is_gone(studio: Studio) -> None:
    page = studio.page
    page.route("**/events?audio=true", lambda route: route.fulfill(body=": wait\n\n"))
    page.get_by_role("button", name="Make the song").click()
    page.get_by_role("button", name="Cancel Take 1").click()
    expect(page.locator("#status")).to_have_text("Take 1 is cancelled.")
    expect(page.locator("#invitation")).to_be_visible()
    assert page.evaluate("studio.takes") == []


def test_playing_waits_for_sound_that_is_late_and_goes_on_where_it_was(studio: Studio) -> None:
    page = studio.page
    page.evaluate(LATE)
    page.evaluate("late.player.play()")
    studio.until("late.player.playing && late.player.position > 0.2")
    studio.until("late.player.waiting")
    stood = page.evaluate("late.player.position")
    assert 1.3 < stood <= 1.5
    page.wait_for_timeout(200)
    assert page.evaluate("late.player.position") == stood
    page.evaluate("late.bring()")
    studio.until("late.player.playing && !late.player.waiting")
    assert page.evaluate("late.player.position") < stood + 0.5
    assert page.evaluate("late.off()") < 1e-7  # its pieces join without a seam
    page.evaluate("late.finish()")
    assert page.evaluate("late.off()") < 1e-7
    studio.until("!late.player.playing")
    assert page.evaluate("late.player.position") == 3


def test_pictures_are_taken_where_they_are_wanted(studio: Studio) -> None:
    """STEMS_SCREENSHOTS=1, or the address of another service, such as one that plays the demo's model."""
    wanted = os.environ.get("STEMS_SCREENSHOTS", "")
    if not wanted:
        pytest.skip("STEMS_SCREENSHOTS is not set")
    page = studio.page
    if wanted.startswith("http"):
        studio.url = wanted
        studio.open()
    page.emulate_media(color_scheme="light")
    studio.make("funky bass, dry drums", seconds=8)
    studio.drag("bass", 0.3, 0.62)
    studio.lane("bass").get_by_role("button", name="Regenerate this stem here").click()
    studio.done(2)
    studio.lane("other").get_by_role("button", name="Another texture").click()
    studio.done(3)
    page.locator("#seek").fill("2.4")
    page.mouse.move(0, 0)
    for name, width, height in (("studio", 1280, 900), ("studio-phone", 390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("scrollTo(0, 0)")
        picture = IMAGES / f"{name}.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size < 300_000
