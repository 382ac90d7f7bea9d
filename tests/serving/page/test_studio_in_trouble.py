"""The studio where something goes wrong: a bad field, a key, a busy service, a stream that breaks, late sound."""

from __future__ import annotations

import json
import re

import httpx
from helpers.studio import Studio, level
from playwright.sync_api import Route, expect

PROBLEM = "application/problem+json"

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
    page.get_by_role("button", name="Regenerate the stems").click()
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
            problem = {"detail": "The API key is not known.", "hint": "Send one.", "field": "authorization"}
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
        problem = {"detail": "Too many wait already.", "hint": "Come back soon.", "field": ""}
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
