"""The events of a job, through connections that break; on the blocking client and on the asynchronous one."""

from __future__ import annotations

import httpx
import pytest
from helpers.fake_clients import Clock, Make
from helpers.fake_service import ID, Script, event, events, job, problem

from serving.client.client import AudioEvent, RequestError


def test_events_are_typed(make: Make) -> None:
    pcm = {"stem": "bass", "first": 32, "rate": 32000, "pcm": "AAD/fwCA"}
    stream = [event("job", job("running"), 1), event("progress", {"frames": 1, "of": 2}, 2), event("audio", pcm, 3)]
    later = [event("rumour", {}, 4), event("end", job(), 5), event("end", job(), 6)]
    service = Script(events(b": hello\n\n", *stream, b"".join(later)))
    heard = list(make(service).events(ID, audio=True))
    assert [one.kind for one in heard] == ["job", "progress", "audio", "end"]
    audio = heard[2]
    assert isinstance(audio, AudioEvent)
    assert audio.samples.tolist() == [0, 32767, -32768]
    assert (audio.stem, audio.first, audio.rate) == ("bass", 32, 32000)
    assert service.asked[0].url.query == b"audio=true"


def test_a_broken_stream_goes_on_where_it_broke(make: Make, clock: Clock) -> None:
    parts = [event("progress", {"frames": n, "of": 9}, n) for n in range(6)]
    service = Script(
        events(parts[0], parts[1], parts[2][:-9], httpx.ReadError("reset")),
        problem(503, headers={"Retry-After": "3"}),
        httpx.ConnectError("refused"),
        events(*parts[2:4]),
        events(*parts[4:], event("end", job(), 6)),
    )
    heard = list(make(service).events(ID))
    assert [getattr(one, "frames", None) for one in heard] == [*range(6), None]
    last = [asked.headers.get("Last-Event-ID") for asked in service.asked]
    assert last == [None, "1", "1", "1", "3"]
    assert clock.slept[1] > 3


def test_a_stream_that_only_ends_is_not_opened_for_ever(make: Make, clock: Clock) -> None:
    service = Script(events(b": ping\n\n"))
    with pytest.raises(RequestError, match="ended before the job did"):
        list(make(service, patience=20).events(ID))
    assert 10 < sum(clock.slept) <= 20


def test_a_stream_that_was_cut_for_its_length_is_no_trouble(make: Make, clock: Clock) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        clock.now += 60
        return events(b": ping\n\n", httpx.ReadTimeout("silence"))

    assert list(make(Script(silent, silent, silent, events(event("end", job(), 1))), patience=5).events(ID))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (problem(404, "missing"), "It failed so."),
        (httpx.Response(200, json=job()), "The answer is not a stream of events."),
        (events(b"event: end\ndata: {}\n\n"), "The answer is not an event 'end' that this client reads."),
        (events(b'event: audio\ndata: {"pcm": "%"}\n\n'), "The answer is not an event 'audio'"),
        (events(b"event: progress\ndata: 3\n\n"), "The answer is not an event 'progress'"),
    ],
)
def test_what_is_no_stream_is_not_opened_again(make: Make, answer: httpx.Response, text: str) -> None:
    service = Script(answer)
    with pytest.raises(RequestError) as caught:
        list(make(service).events(ID))
    assert str(caught.value).startswith(text)
    assert len(service.asked) == 1
