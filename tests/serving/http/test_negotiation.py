"""What a client says it takes, and how long it waits."""

from __future__ import annotations

import pytest

from serving.http.negotiation import Wanted, wait_seconds, wanted


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", Wanted("zip")),
        ("*/*", Wanted("zip")),
        ("application/json", Wanted("json")),
        ("application/json;q=0.2, application/zip", Wanted("zip")),
        ("audio/mpeg, application/json;q=0.9", Wanted("mix", "mp3")),
        ("text/html, audio/*", Wanted("mix")),
        ("application/zip;q=0, audio/flac;q=x", Wanted("mix", "flac")),
    ],
)
def test_the_preferred_kind_of_answer_is_chosen(accept: str, answer: Wanted) -> None:
    assert wanted({"accept": accept}) == answer


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [("", 0), ("wait=5", 5), ("respond-async, wait=9", 9), ("wait=99999", 120), ("wait=-1", 0), ("wait=soon", 0)],
)
def test_a_wait_is_read_and_bounded(prefer: str, seconds: int) -> None:
    assert wait_seconds({"prefer": prefer}) == seconds
