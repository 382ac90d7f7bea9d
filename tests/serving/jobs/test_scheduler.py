"""Jobs with a backend who can be told to fail: who goes first, who takes over, and that each ends once."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import Fake, House, new_job, until
from sqlalchemy.exc import OperationalError

from models.errors import StemsError
from serving.errors import BusyError
from serving.jobs.attempts import MAX_ATTEMPTS
from serving.jobs.event_log import Sound
from serving.jobs.job_store import JobRecord
from serving.workers.backend import WorkerLostError


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_job_whose_player_is_lost_is_played_again_and_heard_once(house: House) -> None:
    lost = 0

    async def before(part: int) -> None:
        nonlocal lost
        if part == 2 and lost < 2:
            lost += 1
            raise WorkerLostError("killed")

    async def play() -> list[Sound]:
        fake = Fake(before)
        scheduler = house.scheduler(fake)
        await scheduler.start()
        job = await scheduler.accept(new_job(), {})
        event_log = scheduler.event_log(job.id)
        assert event_log is not None
        events = [event async for event in event_log.subscribe()]
        await scheduler.stop()
        assert len(fake.played) == 3
        assert house.store.get(job.id).state == "done"  # type: ignore[union-attr]
        return [event.data for event in events if isinstance(event.data, Sound)]

    sounds = asyncio.run(play())
    bass = [sound for sound in sounds if sound.stem == "bass"]
    assert [sound.first for sound in bass] == [0, 2000, 4000, 6000]
    assert house.ended() == 1


def test_what_a_dead_process_left_another_finishes(house: House) -> None:
    async def take_over() -> None:
        for seed, state in enumerate(("queued", "running", "done")):
            job = new_job(seed, state=state, lease_holder="dead", lease=time.time() - 1, id=f"job{seed}")
            house.store.add(job)
        alive = house.store.add(new_job(9, lease_holder="alive", lease=time.time() + 60, id="job9"))
        fake = Fake()
        scheduler = house.scheduler(fake)
        await scheduler.start()
        await until(lambda: house.ended() == 2)
        await scheduler.stop()
        assert sorted(fake.played) == [0, 1]
        assert house.store.get(alive.id).state == "queued"  # type: ignore[union-attr]

    asyncio.run(take_over())


def test_a_process_that_stops_hands_its_jobs_on_at_once(house: House) -> None:
    async def hand_over() -> None:
        forever = asyncio.Event()

        async def before(part: int) -> None:
            await forever.wait()

        first = house.scheduler(Fake(before))
        await first.start()
        job = await first.accept(new_job(), {})
        await until(lambda: first.running == 1)
        await first.stop()
        second = house.scheduler(Fake())
        await second.start()
        await until(lambda: house.store.get(job.id).state == "done")  # type: ignore[union-attr]
        await second.stop()

    asyncio.run(hand_over())
    assert house.ended() == 1


def test_two_processes_that_both_play_a_job_end_it_once(house: House) -> None:
    """The first was thought dead, and was not."""

    async def race() -> None:
        auth = asyncio.Event()

        async def before(part: int) -> None:
            if part == 3:
                await auth.wait()

        schedulers = [house.scheduler(Fake(before)) for _ in range(2)]
        await schedulers[0].start()
        job = await schedulers[0].accept(new_job(), {})
        await until(lambda: schedulers[0].running == 1)
        await schedulers[1].start()

        def taken_over() -> bool:
            house.store.renew(schedulers[0].leases.holder, time.time() - 1)  # again: the first may renew its lease
            return schedulers[1].running == 1

        await until(taken_over)
        auth.set()
        await until(lambda: not schedulers[0].running and not schedulers[1].running)
        for scheduler in schedulers:
            await scheduler.stop()
        assert house.store.get(job.id).state == "done"  # type: ignore[union-attr]

    asyncio.run(race())
    assert house.ended() == 1


def test_who_waits_on_the_line_goes_first_and_too_many_are_refused(house: House) -> None:
    async def crowd() -> list[int]:
        auth = asyncio.Semaphore(0)

        async def before(part: int) -> None:
            if part == 0:
                await auth.acquire()

        fake = Fake(before)
        scheduler = house.scheduler(fake)
        await scheduler.start()
        for seed in range(scheduler.capacity):
            await scheduler.accept(new_job(seed), {})
        await until(lambda: scheduler.running == scheduler.capacity)
        await scheduler.accept(new_job(10), {})
        await scheduler.accept(new_job(11, client_waits=True), {})
        with pytest.raises(BusyError, match="Prefer"):
            scheduler.check_room(client_waits=True)
        scheduler.check_room(client_waits=False)
        await scheduler.accept(new_job(12), {})
        with pytest.raises(BusyError) as caught:
            scheduler.check_room(client_waits=False)
        assert caught.value.retry_after >= 1

        def moved(ended: int) -> bool:
            return house.ended() == ended and len(fake.played) == min(ended + scheduler.capacity, jobs)

        jobs = scheduler.capacity + 3
        for ended in range(1, jobs + 1):
            auth.release()
            await until(partial(moved, ended))
        await scheduler.stop()
        return fake.played[scheduler.capacity :]

    assert asyncio.run(crowd()) == [11, 10, 12]


def test_a_place_is_held_while_a_job_is_being_stored(house: House) -> None:
    scheduler = house.scheduler(Fake())
    with ExitStack() as places:
        for _ in range(3):
            places.enter_context(scheduler.reserve(client_waits=False))
        with pytest.raises(BusyError):
            scheduler.check_room(client_waits=False)
    scheduler.check_room(client_waits=False)


@pytest.mark.parametrize(
    ("error", "code"), [(StemsError("No.", code="too_long"), "too_long"), (ValueError(), "internal")]
)
def test_a_job_that_cannot_be_played_fails_with_its_problem(house: House, error: Exception, code: str) -> None:
    async def before(part: int) -> None:
        raise error

    async def play() -> JobRecord:
        scheduler = house.scheduler(Fake(before))
        await scheduler.start()
        job = await scheduler.accept(new_job(), {})
        event_log = scheduler.event_log(job.id)
        assert event_log is not None
        await event_log.until_end()
        await scheduler.stop()
        stored = house.store.get(job.id)
        assert stored is not None
        return stored

    job = asyncio.run(play())
    assert (job.state, job.problem["type"]) == ("failed", f"urn:stems:problem:{code}")  # type: ignore[index]


def test_what_has_expired_is_forgotten_with_its_files(house: House, tmp_path: Path) -> None:
    async def forget() -> None:
        scheduler = house.scheduler(Fake(), keep_hours=1e-7)
        await scheduler.start()
        job = await scheduler.accept(new_job(), {})
        await until(lambda: house.ended() == 1)
        await until(lambda: house.store.get(job.id) is None)
        await scheduler.stop()

    asyncio.run(forget())
    assert list((tmp_path / "results").iterdir()) == []


def test_a_database_that_is_away_for_a_moment_costs_no_job(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.jobs.leases.RENEW_S", 0.01)
    away, finish = 3, house.store.finish

    def sometimes(*given: Any, **values: Any) -> bool:
        nonlocal away
        away -= 1
        if away >= 0:
            raise OperationalError("finish", {}, OSError("the database is away"))
        return finish(*given, **values)

    monkeypatch.setattr(house.store, "finish", sometimes)

    async def play() -> None:
        scheduler = house.scheduler(Fake())
        await scheduler.start()
        job = await scheduler.accept(new_job(), {})
        await until(lambda: house.store.get(job.id).state == "done")  # type: ignore[union-attr]
        await scheduler.stop()

    asyncio.run(play())
    assert away < 0


def test_a_job_that_ended_many_services_is_given_up(house: House) -> None:
    async def play() -> None:
        job = house.store.add(new_job(attempts=MAX_ATTEMPTS, lease_holder="dead", lease=1.0))
        fake = Fake()
        scheduler = house.scheduler(fake)
        await scheduler.start()
        await until(lambda: house.store.get(job.id).state == "failed")  # type: ignore[union-attr]
        await scheduler.stop()
        assert fake.played == []

    asyncio.run(play())


def test_progress_is_told_as_frames_of_all(house: House) -> None:
    async def play() -> list[dict[str, int]]:
        scheduler = house.scheduler(Fake())
        await scheduler.start()
        job = await scheduler.accept(new_job(), {})
        event_log = scheduler.event_log(job.id)
        assert event_log is not None
        events = [event async for event in event_log.subscribe()]
        await scheduler.stop()
        return [json.loads(str(event.data)) for event in events if event.kind == "progress"]

    assert asyncio.run(play()) == [{"frames": 5 * k, "of": 20} for k in range(1, 5)]


def test_followers_of_a_job_that_another_process_cancelled_hear_its_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.jobs.leases.RENEW_S", 0.01)

    async def follow() -> list[str]:
        forever = asyncio.Event()

        async def before(part: int) -> None:
            await forever.wait()

        scheduler = house.scheduler(Fake(before))
        await scheduler.start()
        job = await scheduler.accept(new_job(), {})
        await until(lambda: scheduler.running == 1 and house.store.get(job.id).state == "running")  # type: ignore[union-attr]
        event_log = scheduler.event_log(job.id)
        assert event_log is not None
        assert house.store.cancel(job.id, ended=time.time(), expires=time.time() + 60)
        async with asyncio.timeout(20):
            events = [event async for event in event_log.subscribe()]
        assert scheduler.event_log(job.id) is None
        await scheduler.stop()
        return [event.kind for event in events]

    assert asyncio.run(follow())[-1] == "end"


def test_followers_of_a_job_that_another_process_took_over_are_let_go(house: House) -> None:
    async def follow() -> list[str]:
        scheduler = house.scheduler(Fake())
        job = await scheduler.accept(new_job(), {})
        event_log = scheduler.event_log(job.id)
        assert event_log is not None
        house.store.renew(scheduler.leases.holder, time.time() - 1)
        assert house.store.adopt("another", time.time() + 60, time.time())
        await scheduler.start()
        async with asyncio.timeout(20):
            events = [event async for event in event_log.subscribe()]
        await scheduler.stop()
        return [event.kind for event in events]

    assert asyncio.run(follow()) == ["job"]
