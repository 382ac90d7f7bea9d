"""What a client says it takes, and how long it waits."""

from __future__ import annotations

import pytest

from serving.http.negotiation import PreferredResponse, preferred_response, wait_seconds


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", PreferredResponse("zip")),
        ("*/*", PreferredResponse("zip")),
        ("application/json", PreferredResponse("json")),
        ("application/json;q=0.2, application/zip", PreferredResponse("zip")),
        ("audio/mpeg, application/json;q=0.9", PreferredResponse("mix", "mp3")),
        ("text/html, audio/*", PreferredResponse("mix")),
        ("application/zip;q=0, audio/flac;q=x", PreferredResponse("mix", "flac")),
    ],
)
def test_the_preferred_kind_of_answer_is_chosen(accept: str, answer: PreferredResponse) -> None:
    assert preferred_response({"accept": accept}) == answer


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [("", 0), ("wait=5", 5), ("respond-async, wait=9", 9), ("wait=99999", 120), ("wait=-1", 0), ("wait=soon", 0)],
)
def test_a_wait_is_read_and_bounded(prefer: str, seconds: int) -> None:
    assert wait_seconds({"prefer": prefer}) == seconds
