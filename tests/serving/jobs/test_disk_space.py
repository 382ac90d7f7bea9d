"""A service whose disk is full says so, loses nothing that it had, and works again as soon as there is room."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from helpers.jobs import Fake, House, new_job, until
from helpers.small_disk import fill, small_disk
from sqlalchemy.exc import OperationalError

from models.audio.files import encode_audio
from models.errors import StemsError
from models.files.storage import storage_reason
from serving.config import ServeConfig
from serving.errors import no_room
from serving.http.api import create_app
from serving.jobs.blob_store import JobFiles
from serving.jobs.database import open_database
from serving.jobs.disk_space import LEAST_BYTES, DiskSpace
from serving.jobs.job_store import JobStore


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "3m") as disk:
        yield disk


@pytest.fixture
def client(band: Any, settings: ServeConfig, disk: Path) -> Iterator[TestClient]:
    on_disk = {"state": f"sqlite:///{disk}/state.db", "results": str(disk / "results"), "max_upload_mb": 8}
    app = create_app(settings.model_copy(update=on_disk), band)
    with TestClient(app, raise_server_exceptions=False, headers={"Prefer": "wait=60"}) as client:
        yield client


def kept(disk: Path) -> list[Path]:
    """What is kept of jobs."""
    return [path for path in (disk / "results").rglob("*") if path.is_file()]


def song(client: TestClient, seconds: float) -> Any:
    return client.post("/v1/songs", json={"seconds": seconds, "seed": 1})


def figure(client: TestClient) -> str:
    return next(line for line in client.get("/metrics").text.splitlines() if line.startswith("stems_storage_full"))


def test_a_song_that_does_not_fit_is_refused_and_a_smaller_one_is_made(client: TestClient, disk: Path) -> None:
    ballast = fill(disk, but=500_000)
    refused = song(client, 4)
    assert refused.status_code == 507
    assert refused.json()["type"] == "urn:stems:problem:storage"
    assert "1.0 MB" in refused.json()["detail"]
    assert str(disk) not in refused.text
    assert kept(disk) == []
    assert client.get("/readyz").status_code == 200
    assert song(client, 0.5).status_code == 200
    ballast.unlink()
    assert song(client, 4).status_code == 200


def test_a_full_disk_is_said_by_readyz_and_a_metric_until_there_is_room(client: TestClient, disk: Path) -> None:
    assert song(client, 0.5).status_code == 200
    before = {path: path.read_bytes() for path in kept(disk)}
    ballast = fill(disk)
    assert song(client, 0.5).status_code == 507
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["title"]) == (507, "The service's disk is full")
    assert figure(client) == "stems_storage_full 1.0"
    assert client.get("/livez").status_code == 200
    assert {path: path.read_bytes() for path in kept(disk)} == before
    ballast.unlink()
    assert client.get("/readyz").status_code == 200
    assert figure(client) == "stems_storage_full 0.0"
    assert song(client, 0.5).status_code == 200


def test_an_upload_that_finds_no_room_on_its_way_in_is_a_507(
    client: TestClient, disk: Path, tone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = encode_audio(type(tone)(tone.samples.repeat(4, axis=1), 96_000))
    assert len(long) > 1_100_000
    with small_disk(tmp_path / "temporary", "300k") as temporary:
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        answer = client.post("/v1/edits", files={"song": ("song.wav", long)}, data={"regenerate": "bass"})
        assert list(temporary.iterdir()) == []
    assert answer.status_code == 507
    assert kept(disk) == []


def test_a_disk_that_fills_up_while_a_song_is_played_fails_the_job_for_that(disk: Path) -> None:
    house = House(disk)

    async def play() -> str:
        ballast: list[Path] = []

        async def before(part: int) -> None:
            if part == 3 and not ballast:
                ballast.append(fill(disk))

        scheduler = house.scheduler(Fake(before))
        await scheduler.start()
        job = await scheduler.accept(new_job(1), {})
        await until(lambda: house.store.get(job.id).state == "failed")  # type: ignore[union-attr]
        assert scheduler.disk.full()
        ended = house.store.get(job.id)
        assert ended is not None
        assert ended.problem is not None
        assert (ended.problem["status"], ended.problem["type"]) == (507, "urn:stems:problem:storage")
        assert list((disk / "results").iterdir()) == []
        ballast[0].unlink()
        assert not scheduler.disk.full()
        job = await scheduler.accept(new_job(2), {})
        await until(lambda: house.store.get(job.id).state == "done")  # type: ignore[union-attr]
        await scheduler.stop()
        return job.id

    done = asyncio.run(play())
    assert len(list((disk / "results" / done).iterdir())) == 6


def test_what_has_expired_goes_although_the_database_takes_nothing(disk: Path) -> None:
    house = House(disk)
    old = house.store.add(new_job(1, state="done", expires=1.0))
    house.stores.results.put(old.id, {"bass.flac": bytes(1_000_000)})
    fill(disk)

    async def look_after() -> None:
        scheduler = house.scheduler(Fake())
        await scheduler.start()
        await until(lambda: house.store.get(old.id) is None)
        await scheduler.stop()

    asyncio.run(look_after())
    assert list((disk / "results").iterdir()) == []


def test_files_that_do_not_fit_leave_nothing(disk: Path) -> None:
    files = JobFiles(str(disk / "results"))
    with pytest.raises(StemsError, match="disk is full") as refused:
        files.put("job", {"a.flac": bytes(100_000), "b.flac": bytes(9_000_000)})
    assert refused.value.code == "storage"
    assert list((disk / "results").iterdir()) == []


def test_a_job_that_the_database_does_not_take_leaves_no_upload(disk: Path, tmp_path: Path) -> None:
    house = House(disk)
    house.stores = replace(house.stores, uploads=JobFiles(str(tmp_path / "uploads")))  # there, there is room
    fill(disk)

    async def accept() -> None:
        many = new_job(1, request={"prompt": "x" * 500_000})
        await house.scheduler(Fake()).accept(many, {"song": b"sound"})

    with pytest.raises(OperationalError) as refused:
        asyncio.run(accept())
    assert storage_reason(refused.value) == errno.ENOSPC
    assert list((tmp_path / "uploads").iterdir()) == []


def test_words_of_a_client_are_not_taken_for_a_full_disk() -> None:
    error = OperationalError("insert", {"prompt": "No space left on device"}, Exception("locked"))
    assert storage_reason(error) is None
    assert storage_reason(StemsError("No space left on device")) is None


def test_a_failure_that_statistics_do_not_show_counts_until_a_write_works(tmp_path: Path) -> None:
    room = DiskSpace([tmp_path], results=True)
    room.failed()
    assert not room.full()  # it tried
    assert list(tmp_path.iterdir()) == []
    assert LEAST_BYTES < 1_000_000
    assert no_room().code == "storage"
    assert JobStore(open_database(f"sqlite:///{tmp_path}/state.db")).file == tmp_path / "state.db"
