"""M4A, AAC and WebM are as long for us as for a browser, which has decoders of its own."""

from __future__ import annotations

import base64

from helpers.lengths import WRONG_LENGTHS
from playwright.sync_api import Browser

from models.audio.files import read_audio

# A browser leaves out the encoder's delay, at most a frame of AAC.
WITHIN_S = 0.03

DECODE = """async ([text, rate]) => {
    const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
    const sound = await new OfflineAudioContext(2, 1, rate).decodeAudioData(data.buffer)
    return sound.duration
}"""

# Browsers have no decoder for it.
LOSSLESS = "lossless.m4a"


def test_a_browser_hears_as_much(browser: Browser) -> None:
    page = browser.new_page()
    wrong = {}
    for case in WRONG_LENGTHS["of phones"]():
        if case.name != LOSSLESS:
            ours = read_audio(case.data)
            theirs = page.evaluate(DECODE, [base64.b64encode(case.data).decode(), ours.rate])
            if abs(theirs - ours.seconds) > WITHIN_S:
                wrong[case.name] = (ours.seconds, theirs)
    assert not wrong
