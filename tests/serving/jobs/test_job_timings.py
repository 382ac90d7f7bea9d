"""Where the time of a job goes, as its record says at the end."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from helpers.jobs import Fake, House, new_job, until
from pydantic import ValidationError

from serving.jobs.job_store import JobRecord
from serving.jobs.job_timings import JobTimings
from serving.schemas import Timings
from serving.timings import STAGES, StageClock
from serving.workers.backend import WorkerLostError


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def run(house: House, fake: Fake, job: JobRecord) -> JobRecord:
    async def one() -> JobRecord:
        scheduler = house.scheduler(fake)
        await scheduler.start()
        accepted = await scheduler.accept(job, {})
        event_log = scheduler.event_log(accepted.id)
        assert event_log is not None
        await event_log.until_end()
        await scheduler.stop()
        stored = house.store.get(accepted.id)
        assert stored is not None
        return stored

    return asyncio.run(one())


def measured(job: dict[str, Any]) -> set[str]:
    return {stage for stage, seconds in job["timings"].items() if seconds is not None}


def seconds_of(job: dict[str, Any]) -> float:
    ended, created = (datetime.fromisoformat(job[moment]) for moment in ("ended", "created"))
    return (ended - created).total_seconds()


def test_a_song_says_where_its_time_went(local: TestClient) -> None:
    answer = local.post("/v1/songs", json={"seconds": 0.5}, headers={"Accept": "application/json"})
    job = answer.json()
    assert job["attempts"] == 1
    assert measured(job) == {"waiting", "encoding", "decoding", "codec", "storing"}
    assert all(job["timings"][stage] > 0 for stage in ("decoding", "codec", "storing"))
    assert sum(job["timings"][stage] for stage in measured(job)) <= seconds_of(job) + 0.01


def test_an_edit_of_a_whole_song_is_separated_encoded_and_prefilled(local: TestClient, tone_wav: bytes) -> None:
    job = local.post(
        "/v1/edits", files={"song": tone_wav}, data={"regenerate": "bass"}, headers={"Accept": "application/json"}
    ).json()
    assert {"separating", "encoding", "prefill", "decoding"} <= measured(job)
    assert job["timings"]["lost"] is None
    assert sum(job["timings"][stage] for stage in measured(job)) <= seconds_of(job) + 0.01


def test_a_job_that_waits_has_no_timings_yet(house: House) -> None:
    async def queued() -> JobRecord:
        return await house.scheduler(Fake()).accept(new_job(), {})

    job = asyncio.run(queued())
    assert (job.timings, job.attempts) == (None, 0)


def test_lost_attempts_are_counted_and_their_time_is_no_stage_s(house: House) -> None:
    lost = 0

    async def before(part: int) -> None:
        nonlocal lost
        if part == 2 and lost < 2:
            lost += 1
            raise WorkerLostError("killed")

    job = run(house, Fake(before), new_job())
    assert (job.state, job.attempts) == ("done", 3)
    assert job.timings is not None
    assert job.timings["lost"] >= 0.6  # the pauses alone


def test_what_a_dead_service_spent_counts_as_lost(house: House) -> None:
    async def take_over() -> None:
        now = time.time()
        left: dict[str, Any] = {"state": "running", "created": now - 60, "started": now - 50, "attempts": 1}
        left["timings"] = {"waiting": 10.0}
        job = house.store.add(new_job(lease_holder="dead", lease=now - 1, **left))
        scheduler = house.scheduler(Fake())
        await scheduler.start()
        await until(lambda: house.store.get(job.id).state == "done")  # type: ignore[union-attr]
        await scheduler.stop()
        done = house.store.get(job.id)
        assert done is not None
        assert done.timings is not None
        assert done.attempts == 2
        assert done.timings["waiting"] == 10.0
        assert done.timings["lost"] == pytest.approx(50, abs=5)

    asyncio.run(take_over())


def test_a_job_that_fails_or_is_cancelled_keeps_what_was_measured(house: House) -> None:
    async def broken(part: int) -> None:
        raise ValueError

    failed = run(house, Fake(broken), new_job())
    assert failed.state == "failed"
    assert failed.timings is not None
    assert failed.timings.keys() == {"waiting"}

    async def cancelled() -> JobRecord:
        forever = asyncio.Event()

        async def wait(part: int) -> None:
            await forever.wait()

        scheduler = house.scheduler(Fake(wait))
        await scheduler.start()
        job = await scheduler.accept(new_job(), {})
        await until(lambda: scheduler.running == 1 and house.store.get(job.id).state == "running")  # type: ignore[union-attr]
        assert await scheduler.cancel(job)
        await scheduler.stop()
        stored = house.store.get(job.id)
        assert stored is not None
        return stored

    job = asyncio.run(cancelled())
    assert (job.state, job.attempts) == ("cancelled", 1)
    assert job.timings is not None
    assert "waiting" in job.timings


def test_a_new_attempt_starts_its_stages_from_nothing() -> None:
    timings = JobTimings(new_job(created=100.0), 103.0)
    timings.clock.add("separating", 2.0)
    timings.worker = {"waiting": 0.5, "decoding": 4.0}
    assert timings.seconds == {"waiting": 3.5, "separating": 2.0, "decoding": 4.0}
    timings.restart()
    assert timings.seconds.keys() == {"waiting", "lost"}
    assert timings.seconds["waiting"] == 3.0


def test_a_clock_sums_a_stage_and_knows_from_when_to_when_it_was() -> None:
    now = 10.0
    clock = StageClock(now=lambda: now)
    clock.add("codec", 1.0)
    now = 20.0
    clock.add("codec", 2.0)
    assert clock.seconds == {"codec": 3.0}
    assert clock.extents == {"codec": (9.0, 20.0)}


def test_the_api_names_each_stage_that_is_measured() -> None:
    assert tuple(Timings.model_fields) == STAGES
    with pytest.raises(ValidationError):
        Timings.model_validate({"waiting": "soon"})
    assert json.loads(Timings(codec=0.5).model_dump_json())["prefill"] is None
