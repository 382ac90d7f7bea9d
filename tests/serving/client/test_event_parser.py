"""Events out of the bytes of a stream, however it is cut."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client.events import EventParser, Message
from serving.client.retries import RequestError

ENDS = ("\n", "\r", "\r\n")


text = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=12)


messages = st.lists(
    st.builds(Message, event=text.filter(len), data=st.lists(text, min_size=1, max_size=3).map("\n".join), id=text)
)


def written(messages: list[Message], ends: list[str], noise: bool) -> bytes:
    """The bytes of a stream of messages, each with its end of lines, and with lines that mean nothing."""
    stream = ""
    for n, message in enumerate(messages):
        lines = [": a comment", "", "retry: 9", "colour:red", "event", "id: 7", ""] if noise else []
        lines += [f"event: {message.event}", *(f"data: {line}" for line in message.data.split("\n"))]
        stream += "".join(line + ends[n % len(ends)] for line in (*lines, f"id: {message.id}", ""))
    return stream.encode()


def chunks(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut into chunks, of which some are empty."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(messages, st.lists(st.sampled_from(ENDS), min_size=1), st.lists(st.integers(0, 10**6)), st.booleans())
def test_however_a_stream_is_cut_its_events_are_the_same(
    sent: list[Message], ends: list[str], cuts: list[int], bom: bool
) -> None:
    parser = EventParser()
    stream = b"\xef\xbb\xbf" * bom + written(sent, ends, noise=False)
    assert [heard for chunk in chunks(stream, cuts) for heard in parser.feed(chunk)] == sent
    assert parser.last_id == (sent[-1].id if sent else "")


@given(messages, st.lists(st.sampled_from(ENDS), min_size=1), st.lists(st.integers(0, 10**6)))
def test_what_means_nothing_changes_nothing(sent: list[Message], ends: list[str], cuts: list[int]) -> None:
    parser = EventParser()
    heard = [one for chunk in chunks(written(sent, ends, noise=True), cuts) for one in parser.feed(chunk)]
    assert heard == sent


@given(messages, st.integers(0, 10**6))
def test_a_stream_that_breaks_off_goes_on_after_its_last_whole_event(sent: list[Message], cut: int) -> None:
    sent = [Message(message.event, message.data, str(n)) for n, message in enumerate(sent)]
    stream = written(sent, ["\n"], noise=False)
    first = EventParser()
    heard = first.feed(stream[: cut % (len(stream) + 1)])
    assert heard == sent[: len(heard)]
    assert first.last_id == (heard[-1].id if heard else "")


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 2**19 + b"\n", b"x" * 2**19], ids=["lines", "one line"])
def test_an_event_without_an_end_does_not_fill_the_memory(chunk: bytes) -> None:
    parser = EventParser()
    with pytest.raises(RequestError, match="one of them has no end"):
        deque((parser.feed(chunk) for _ in range(40)), maxlen=0)
