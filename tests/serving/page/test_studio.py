"""The studio as a person uses it: in Chromium, on the live service."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.studio import Studio, level, violations
from playwright.sync_api import expect

IMAGES = Path(__file__).parents[3] / "docs" / "images"


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

    # A region of one stem is regenerated, and nothing else is.
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
    page.get_by_role("button", name="Regenerate the stems").click()
    job = studio.done(1)
    assert [stem["origin"] for stem in studio.manifest(job)["stems"]] == ["generated", "kept", "kept"]
    assert level(studio.heard() - studio.sound(job, "mix")) < -80


def test_a_take_is_extended_and_stays_as_it_was(studio: Studio) -> None:
    page, _ = studio.page, studio.make(seconds=1, seed=5)
    page.get_by_label("Seconds to add").fill("0.6")
    page.get_by_role("button", name="Extend the song").click()
    second = studio.done(2)
    manifest = studio.manifest(second)
    assert (manifest["task"], manifest["continued_at"]) == ("continuation", pytest.approx(1.0))
    assert manifest["seconds"] == pytest.approx(1.6)
    expect(page.locator(".take-label").first).to_contain_text("0.6 s more")
    expect(page.locator(".take-note").first).to_contain_text("from take 1")
    expect(page.locator(".lane-origin").first).to_have_text("goes on")
    page.get_by_label("Seconds to add").fill("1000")
    page.get_by_role("button", name="Extend the song").click()
    expect(page.locator("#extend .problem")).to_contain_text("would last")


def test_a_song_of_ones_own_is_extended(studio: Studio, tone_wav: bytes) -> None:
    page = studio.page
    page.locator("#file").set_input_files({"name": "tone.wav", "mimeType": "audio/wav", "buffer": tone_wav})
    page.get_by_label("Extend it").check()
    page.get_by_label("Seconds", exact=True).fill("1")
    page.locator("#submit").click()
    manifest = studio.manifest(studio.done(1))
    assert (manifest["task"], manifest["continued_at"], manifest["seconds"]) == ("continuation", 2.0, 3.0)


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
