"""Sounds on their way to the service and back, with the blocking client and with the asynchronous one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from helpers.fake_clients import Make
from helpers.fake_service import ID, Script, form, job, manifest, problem, zip_of

from models.audio.files import Audio, encode_audio, read_audio
from models.errors import StemsError
from serving.client.client import Stems

DONE, QUEUED = httpx.Response(200, json=job("done")), httpx.Response(200, json=job("queued"))
ACCEPTED = httpx.Response(202, json=job("queued"))


def test_files_of_a_result_come_by_their_links(make: Make) -> None:
    service = Script(DONE, httpx.Response(200, content=b"sound"))
    client = make(service)
    done = client.job(ID)
    assert client.mix(done) == client.stem(done, "bass", "opus") == client.zip(done) == b"sound"
    names = [line.rpartition("/")[2] for line in service.lines]
    assert names == [ID, "mix.flac", "bass.opus", "song.zip"]


def test_a_job_known_by_its_id_or_still_under_way_is_looked_at_first(make: Make) -> None:
    client = make(service := Script(QUEUED, DONE, httpx.Response(200, content=b"a")))
    assert client.mix(client.job(ID)) == b"a"
    assert len(service.asked) == 3


@pytest.mark.parametrize("seen", ["", "/music", "/a/b"])
@pytest.mark.parametrize("server", ["http://h", "http://h/music", "http://h/music/"])
def test_links_are_followed_below_the_clients_own_address(server: str, seen: str) -> None:
    """Whatever path the service knows itself by: a proxy may not have said it."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        links = {**job()["links"], "mix": f"{seen}/v1/results/{ID}/mix.flac"}
        return httpx.Response(200, json=job(links=links)) if "/jobs/" in asked[-1] else httpx.Response(200)

    with Stems(server, transport=httpx.MockTransport(answer)) as stems:
        stems.mix(ID)
    base = server.removeprefix("http://h").rstrip("/")
    assert asked == [f"{base}/v1/jobs/{ID}", f"{base}/v1/results/{ID}/mix.flac"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (job("running"), f"Job {ID} is running. Wait for it."),
        (job("cancelled"), f"Job {ID} was cancelled."),
        (job("failed", problem=problem(500, "internal").json()), "It failed so. Fix it."),
        (job(links={**job()["links"], "mix": "//evil.test/mix.wav"}), "The link '//evil.test/mix.wav' points out"),
        (job(links={**job()["links"], "mix": "http://evil.test/v1/m.wav"}), "The link 'http://evil.test/v1/m.wav'"),
    ],
)
def test_what_cannot_be_fetched_is_not(make: Make, answer: dict[str, Any], text: str) -> None:
    service = Script(httpx.Response(200, json=answer))
    with pytest.raises(StemsError) as caught:
        make(service).mix(ID)
    assert str(caught.value).startswith(text)
    assert len(service.asked) == 1


def test_a_stem_or_a_format_that_is_none(make: Make) -> None:
    with pytest.raises(StemsError, match=r"no stem 'tuba'\. It has bass, drums\."):
        make(Script(DONE)).stem(ID, "tuba")
    with pytest.raises(StemsError, match="'aiff' is no audio format"):
        make(Script(DONE)).mix(ID, "aiff")  # type: ignore[arg-type]


def test_a_result_is_saved_and_can_be_sent_again(make: Make, tmp_path: Path) -> None:
    sounds = {f"{name}.flac": name.encode() for name in ("bass", "drums", "mix")}
    files = {**sounds, "manifest.json": json.dumps(manifest()).encode()}
    service = Script(DONE, httpx.Response(200, content=zip_of(files)), ACCEPTED)
    client = make(service)
    folder = client.save(ID, tmp_path / "new" / "song")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    assert [file.name for file in folder.parent.iterdir()] == ["song"]
    client.edit("busier", stems=folder, regenerate=["bass"], silent=["drums"], keep="free", region=(0, 1e-5))
    assert form(service.asked[-1]) == [
        ("bass", "bass.flac", b"bass"),
        ("prompt", None, b"busier"),
        ("regenerate", None, b"bass"),
        ("silent", None, b"drums"),
        ("keep", None, b"free"),
        ("region", None, b"0-0.00001"),
    ]


def test_sounds_are_sent_as_files_bytes_or_samples(make: Make, tmp_path: Path) -> None:
    (tmp_path / "take 1.ogg").write_bytes(b"file")
    ramp = np.linspace(-1, 0.9, 50, dtype=np.float32)
    service = Script(ACCEPTED)
    stems: dict[str, Any] = {
        "bass": tmp_path / "take 1.ogg",
        "drums": encode_audio(Audio(ramp[None], 8000)),
        "other": (ramp, 8000),
        "piano": (np.stack([ramp, -ramp]), 8000),
        "guitar": Audio(ramp[None], 44_100),
    }
    make(service).variation("bass", "bright", stems=stems, format="flac")
    sent = {name: (file, data) for name, file, data in form(service.asked[0])}
    assert sent["bass"] == ("take 1.ogg", b"file")
    for name, channels, rate in (("drums", 1, 8000), ("other", 1, 8000), ("piano", 2, 8000), ("guitar", 1, 44_100)):
        audio = read_audio(sent[name][1])
        assert (audio.samples.shape, audio.rate) == ((channels, 50), rate)
        np.testing.assert_allclose(audio.samples[0], ramp, atol=2**-15)
    assert {name: sent[name] for name in ("stem", "prompt", "format")} == {
        "stem": (None, b"bass"),
        "prompt": (None, b"bright"),
        "format": (None, b"flac"),
    }


def test_a_continuation_says_for_how_long_and_in_which_stems(make: Make) -> None:
    service = Script(ACCEPTED)
    make(service).continuation(of=ID, seconds=2.5, regenerate=["bass", "drums"], seed=None)
    assert str(service.asked[0].url.path) == "/v1/continuations"
    assert form(service.asked[0]) == [
        ("prompt", None, b""),
        ("seconds", None, b"2.5"),
        ("of", None, ID.encode()),
        ("regenerate", None, b"bass"),
        ("regenerate", None, b"drums"),
    ]


def test_an_edit_of_a_job_is_a_form_though_it_has_no_file(make: Make) -> None:
    service = Script(DONE, ACCEPTED)
    client = make(service)
    client.edit(of=client.job(ID), regenerate="drums", region=(0.5, 2.5), seed=1)
    assert service.asked[1].headers["Content-Type"].startswith("multipart/form-data")
    assert {name: data for name, _, data in form(service.asked[1])} == {
        "prompt": b"",
        "of": ID.encode(),
        "regenerate": b"drums",
        "region": b"0.5-2.5",
        "seed": b"1",
    }
