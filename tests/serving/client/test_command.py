"""`stems request …`, from the words of the command line to the folder, against a service in the transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
from helpers.fake_service import ID, Script, event, events, form, job, manifest, problem, zip_of

import cli
from serving.client.client import Stems

SONG = {
    "bass.flac": b"bass",
    "drums.flac": b"drums",
    "mix.flac": b"mix",
    "manifest.json": json.dumps(manifest()).encode(),
}
ACCEPTED = httpx.Response(202, json=job("queued"))
HAPPENS = events(
    event("job", job("running"), 1), event("progress", {"frames": 50, "of": 100}, 2), event("end", job(), 3)
)
SAVED = httpx.Response(200, content=zip_of(SONG))

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs words of a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMS_API_KEY", raising=False)

    def run(service: Script, *words: str) -> int:
        monkeypatch.setattr("serving.client.command.Stems", partial(Stems, transport=httpx.MockTransport(service)))
        return cli.main(["request", *words])

    return run


def saved(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def test_a_song_is_asked_for_followed_and_saved(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    service = Script(ACCEPTED, HAPPENS, SAVED)
    words = ["--prompt", "funky bass", "--seconds", "4", "--format", "flac", "--top_k", "9", "--output", "song"]
    assert run(service, "song", *words) == 0
    assert saved("song") == SONG
    assert service.lines == ["POST /v1/songs", f"GET /v1/jobs/{ID}/events", f"GET /v1/results/{ID}/song.zip"]
    body = json.loads(service.asked[0].content)
    assert {name: body[name] for name in ("prompt", "seconds", "format", "top_k")} == {
        "prompt": "funky bass",
        "seconds": 4,
        "format": "flac",
        "top_k": 9,
    }
    assert "seed" not in body
    assert str(service.asked[0].url) == "http://127.0.0.1:8000/v1/songs"
    shown = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    assert rows == [["bass", "generated", "2.0"], ["drums", "kept", "2.0"], ["mix", "", "2.0"]]
    assert "song · seed 4711" in shown


def test_a_saved_song_is_edited(run: Run) -> None:
    assert run(Script(ACCEPTED, HAPPENS, SAVED), "song", "--output", "song") == 0
    service = Script(ACCEPTED, HAPPENS, SAVED)
    words = ["--song", "song", "--regenerate", "drums", "--region", "0.5-2.5", "--output", "edited", "--seed", "3"]
    assert run(service, "edit", *words, "--server", "https://a.test:1", "--key", "mine") == 0
    assert saved("edited") == SONG
    sent = {name: data for name, _, data in form(service.asked[0])}
    assert {name: sent[name] for name in ("bass", "drums", "regenerate", "region", "seed", "keep")} == {
        "bass": b"bass",
        "drums": b"drums",
        "regenerate": b"drums",
        "region": b"0.5-2.5",
        "seed": b"3",
        "keep": b"exact",
    }
    assert "of" not in sent
    assert str(service.asked[0].url) == "https://a.test:1/v1/edits"
    assert service.asked[0].headers["Authorization"] == "Bearer mine"


def test_a_file_is_edited(run: Run) -> None:
    Path("mix.wav").write_bytes(b"sound")
    service = Script(ACCEPTED, HAPPENS, SAVED)
    assert run(service, "edit", "--song", "mix.wav", "--regenerate", "bass, drums", "--silent", "other") == 0
    fields = form(service.asked[0])
    assert ("song", "mix.wav", b"sound") in fields
    assert [data for name, _, data in fields if name == "regenerate"] == [b"bass", b"drums"]
    assert [data for name, _, data in fields if name == "silent"] == [b"other"]
    assert saved("runs/edit") == SONG


def test_a_stem_of_an_earlier_job_is_varied(run: Run) -> None:
    service = Script(ACCEPTED, HAPPENS, SAVED)
    assert run(service, "variation", "--song", ID, "--stem", "other", "--output", "varied") == 0
    assert service.lines[0] == "POST /v1/variations"
    sent = {name: data for name, _, data in form(service.asked[0])}
    assert (sent["of"], sent["stem"]) == (ID.encode(), b"other")


def test_an_earlier_job_goes_on(run: Run) -> None:
    service = Script(ACCEPTED, HAPPENS, SAVED)
    words = ["--song", ID, "--seconds", "4", "--regenerate", "bass", "drums", "--prompt", "wilder"]
    assert run(service, "continuation", *words) == 0
    assert service.lines[0] == "POST /v1/continuations"
    fields = [(name, data) for name, _, data in form(service.asked[0])]
    assert {("of", ID.encode()), ("seconds", b"4.0"), ("prompt", b"wilder")} <= set(fields)
    assert [data for name, data in fields if name == "regenerate"] == [b"bass", b"drums"]
    assert saved("runs/continuation") == SONG


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["edit", "--song", "no.wav"], "'no.wav' is not a file, a folder or a job id."),
        (["edit", "--song", ID, "--region", "2"], "--region 2: write it as START and END in seconds"),
        (["edit", "--song", "."], "'.' has no stems."),
        (["edit"], "--song must be given."),
        (["song", "--seconds", "0"], "--seconds 0: give at least 0.5."),
        (["song", "--server", "localhost:8000"], "'localhost:8000' is no address of a service."),
        (["song", "--output", "mine"], "holds files that this command did not write, such as 'notes.txt'"),
    ],
)
def test_what_cannot_be_asked_is_not(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    service = Script(ACCEPTED)
    assert run(service, *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("stems: ")
    assert text in said
    assert service.asked == []


def test_a_refusal_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    service = Script(problem(422, "invalid", detail="seconds is 900.", hint="Give at most 60.", field="seconds"))
    assert run(service, "song", "--seconds", "900") == 2
    assert capsys.readouterr().err == "stems: seconds is 900. Give at most 60.\n"


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (job("failed", problem=problem(503, "internal").json()), "It failed so. Fix it."),
        (job("cancelled"), f"Job {ID} was cancelled. Ask again."),
    ],
)
def test_a_job_that_came_to_nothing_is_told(
    run: Run, capsys: pytest.CaptureFixture[str], end: dict[str, object], text: str
) -> None:
    service = Script(ACCEPTED, events(event("end", end, 1)))
    assert run(service, "song", "--output", "song") == 2
    assert capsys.readouterr().err == f"stems: {text}\n"
    assert not Path("song").exists()


def test_an_interruption_cancels_the_job(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    begun = events(event("job", job("running"), 1), KeyboardInterrupt())
    service = Script(ACCEPTED, begun, httpx.Response(200, json=job("running")), httpx.Response(204), ACCEPTED)
    assert run(service, "song", "--output", "song") == 130
    assert service.lines[3] == f"DELETE /v1/jobs/{ID}"
    assert capsys.readouterr().err.startswith("stems: interrupted")
    assert not Path("song").exists()


def test_a_job_that_could_not_be_cancelled_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    service = Script(ACCEPTED, events(KeyboardInterrupt()), problem(401, "unauthorized"))
    assert run(service, "song") == 130
    assert capsys.readouterr().err.startswith(f"job {ID} could not be cancelled: It failed so.")


def test_a_job_that_goes_on_alone_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    service = Script(ACCEPTED, httpx.ConnectError("refused"))
    assert run(service, "song", "--patience", "0") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"job {ID} goes on without us."
    assert told[1].startswith("stems: http://127.0.0.1:8000/ gave no answer: refused.")
