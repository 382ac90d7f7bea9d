"""The clients against a service in their transport: each test runs on the blocking and on the asynchronous one."""

from __future__ import annotations

import inspect
import json
import pickle
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from helpers.fake_clients import Clock, Make
from helpers.fake_service import ID, Script, job, problem

import serving.client
from models.errors import StemsError
from serving.client.client import AsyncStems, RequestError, Stems

DONE, RUNNING = httpx.Response(200, json=job("done")), httpx.Response(200, json=job("running"))
QUEUED = httpx.Response(200, json=job("queued"))
ACCEPTED = httpx.Response(202, json=job("queued"))


def test_a_song_is_asked_for_as_the_api_wants_it(make: Make) -> None:
    service = Script(ACCEPTED)
    got = make(service, key="secret").song("funky bass", seconds=4, seed=None, top_k=0)
    assert (got.id, got.state, got.seed) == (ID, "queued", 4711)
    [asked] = service.asked
    assert str(asked.url) == "http://stems.test/v1/songs"
    assert json.loads(asked.content) == {"prompt": "funky bass", "seconds": 4, "top_k": 0}
    assert asked.headers["Accept"] == "application/json"
    assert asked.headers["Authorization"] == "Bearer secret"
    assert "Prefer" not in asked.headers


def test_an_address_may_have_a_path(make: Make) -> None:
    service = Script(DONE)
    make(service, "http://stems.test/music").job(ID)
    assert service.lines == [f"GET /music/v1/jobs/{ID}"]


def test_a_busy_service_is_asked_again_with_the_same_key_once_it_wishes(make: Make, clock: Clock) -> None:
    service = Script(problem(503, headers={"Retry-After": "7"}), httpx.ReadTimeout(""), problem(429), ACCEPTED)
    client = make(service)
    assert client.song("a").id == ID
    assert service.lines == ["POST /v1/songs"] * 4
    assert 7 < clock.slept[0] < 8
    assert 0 < clock.slept[1] < 1
    assert len({asked.content for asked in service.asked}) == 1
    [key] = {asked.headers["Idempotency-Key"] for asked in service.asked}
    client.song("a")
    assert service.asked[-1].headers["Idempotency-Key"] != key


def test_a_date_to_come_back_is_kept(make: Make, clock: Clock) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    make(Script(problem(503, headers={"Retry-After": date}), ACCEPTED)).song()
    assert 15 < clock.slept[0] < 21


def test_patience_ends(make: Make, clock: Clock) -> None:
    service = Script(problem(503))
    with pytest.raises(RequestError, match=r"It failed so\."):
        make(service, patience=20).song()
    assert 10 < sum(clock.slept) <= 20
    assert len(service.asked) > 3


def test_no_wait_is_begun_that_patience_would_not_see_the_end_of(make: Make, clock: Clock) -> None:
    with pytest.raises(RequestError):
        make(Script(problem(503, headers={"Retry-After": "21"})), patience=20).song()
    assert clock.slept == []


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 415, 422, 500])
def test_what_stays_wrong_is_not_asked_again(make: Make, clock: Clock, status: int) -> None:
    service = Script(problem(status))
    with pytest.raises(RequestError):
        make(service).song()
    assert (len(service.asked), clock.slept) == (1, [])


def test_a_problem_tells_what_the_service_told(make: Make) -> None:
    service = Script(problem(422, "invalid", detail="'tuba' is not a stem.", field="regenerate"))
    with pytest.raises(RequestError) as caught:
        make(service).edit(of=ID, regenerate="tuba")
    error = caught.value
    assert str(error) == "'tuba' is not a stem. Fix it."
    assert (error.status, error.type, error.code) == (422, "urn:stems:problem:invalid", "invalid")
    assert (error.field, error.hint, error.request_id) == ("regenerate", "Fix it.", "r1")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.status, again.request_id) == (str(error), 422, "r1")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (httpx.Response(502, text="<html>"), 502, "The service answered 502 Bad Gateway. See what answers at http"),
        (httpx.Response(307, headers={"Location": "/"}), 307, "The service answered 307"),
        (httpx.Response(404, json={"detail": "Not Found"}), 404, "Not Found"),
        (httpx.Response(403, json=["no"]), 403, "The service answered 403 Forbidden."),
        (httpx.Response(200, text="<html>"), 200, "The answer is not a job."),
        (httpx.Response(200, json={"status": "live"}), 200, "The answer is not a job."),
        (httpx.ConnectError("refused"), 0, "http://stems.test/ gave no answer: refused. Check the address"),
        (httpx.DecodingError("bad zip"), 0, "http://stems.test/ gave no answer: bad zip."),
    ],
)
def test_other_answers_are_failures_too(make: Make, answer: httpx.Response, status: int, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        make(Script(answer), patience=0).job(ID)
    assert caught.value.status == status
    assert str(caught.value).startswith(text)


def test_a_certificate_that_is_refused_stays_so(make: Make, clock: Clock) -> None:
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError()
    with pytest.raises(RequestError):
        make(Script(error)).job(ID)
    assert clock.slept == []


def test_wait_asks_until_the_job_has_ended(make: Make) -> None:
    service = Script(QUEUED, RUNNING, DONE)
    assert make(service).wait(ID).state == "done"
    assert [asked.headers["Prefer"] for asked in service.asked] == ["wait=50"] * 3
    assert service.asked[0].extensions["timeout"]["read"] == 80


def test_wait_gives_up_when_its_time_is_over(make: Make, clock: Clock) -> None:
    service = Script(RUNNING)  # at once, whatever the client prefers
    assert make(service).wait(ID, 4.5).state == "running"
    assert sum(clock.slept) == pytest.approx(4.5)
    assert len(service.asked) == 6


def test_only_a_job_that_goes_on_is_cancelled(make: Make) -> None:
    service = Script(DONE)
    assert make(service).cancel(ID).state == "done"
    assert service.lines == [f"GET /v1/jobs/{ID}"]
    service = Script(RUNNING, httpx.Response(204), httpx.Response(200, json=job("cancelled")))
    assert make(service).cancel(ID).state == "cancelled"
    assert service.lines[1:] == [f"DELETE /v1/jobs/{ID}", f"GET /v1/jobs/{ID}"]


def test_a_removal_is_not_repeated_when_its_answer_is_lost(make: Make) -> None:
    service = Script(RUNNING, httpx.ReadError("lost"))
    with pytest.raises(RequestError, match="lost"):
        make(service).cancel(ID)
    assert len(service.asked) == 2
    service = Script(RUNNING, httpx.ConnectError("no"), problem(503), httpx.Response(204), DONE)
    make(service).cancel(ID)
    assert len(service.asked) == 5


def test_delete_cancels_then_forgets(make: Make) -> None:
    gone = httpx.Response(200, json=job("cancelled"))
    service = Script(RUNNING, httpx.Response(202), RUNNING, gone, httpx.Response(204))
    make(service).delete(ID)
    assert [line.split()[0] for line in service.lines] == ["GET", "DELETE", "GET", "GET", "DELETE"]


def test_the_model_and_readiness(make: Make) -> None:
    limits = {"min_seconds": 0.5, "max_seconds": 60, "max_upload_mb": 64, "max_prompt_characters": 9, "formats": []}
    card = {"digest": "d", "stems": [], "sample_rate": 32000, "frame_rate": 50, "separates": True, "limits": limits}
    client = make(service := Script(httpx.Response(200, json=card), httpx.Response(200, json={"status": "ready"})))
    assert client.model().limits.max_seconds == 60
    assert client.ready()
    assert service.lines == ["GET /v1/model", "GET /readyz"]
    assert not make(Script(problem(503))).ready()
    assert not make(Script(httpx.ConnectError("refused"))).ready()
    with pytest.raises(RequestError):
        make(Script(problem(401))).ready()


def test_the_key_comes_from_the_environment_unless_given(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Script(DONE)
    make(service).job(ID)
    monkeypatch.setenv("STEMS_API_KEY", "mine")
    make(service).job(ID)
    make(service, key="other").job(ID)
    make(service, key="").job(ID)
    sent = [asked.headers.get("Authorization") for asked in service.asked]
    assert sent == [None, "Bearer mine", "Bearer other", None]
    with pytest.raises(StemsError, match="invalid characters") as caught:
        make(service, key="se\ncret")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("server", ["localhost:8000", "127.0.0.1:8000", "", "ftp://a", "http://", "http://a:b"])
def test_an_address_that_is_none(make: Make, server: str) -> None:
    with pytest.raises(StemsError, match=r"is no address.*Give one as http://127\.0\.0\.1:8000\.") as caught:
        make(Script(DONE), server)
    assert caught.value.field == "server"


@pytest.mark.parametrize("id", ["", "..", "a/b", "../model", "a?b", "a b"])
def test_an_id_that_is_none_is_not_asked_for(make: Make, id: str) -> None:
    service = Script(DONE)
    with pytest.raises(StemsError, match="is not a job id"):
        make(service).job(id)
    assert service.asked == []


def test_both_clients_take_the_same() -> None:
    def signatures(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        public = {name: method for name, method in methods if not name.startswith("_") or name == "__init__"}
        return {
            name: [str(p) for p in inspect.signature(method).parameters.values()] for name, method in public.items()
        }

    blocking, waiting = signatures(Stems), signatures(AsyncStems)
    assert "AsyncBaseTransport" in waiting["__init__"].pop()
    assert "BaseTransport" in blocking["__init__"].pop()
    assert blocking == waiting


def test_clients_are_closed_at_the_end_of_with() -> None:
    with Stems() as stems:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        stems.ready()


def test_clients_are_light() -> None:
    heavy = "{'torch', 'ray', 'fastapi', 'scipy'} & set(sys.modules)"
    code = f"import sys, serving.client.client, serving.client.command; print(sorted({heavy}))"
    root = Path(serving.client.__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
