"""A database of the version before: it opens, goes on, and that version can go on with it afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers.jobs import Fake, House, until

from serving.jobs.database import open_database
from serving.jobs.job_store import JobStore
from serving.jobs.views import view

OLD_TABLE = """CREATE TABLE jobs (
    id VARCHAR(32) NOT NULL, kind VARCHAR(16) NOT NULL, state VARCHAR(16) NOT NULL, request JSON NOT NULL,
    sources JSON NOT NULL, owner VARCHAR(64) NOT NULL, request_id VARCHAR(200) NOT NULL, inline BOOLEAN NOT NULL,
    idempotency VARCHAR(255), fingerprint VARCHAR(64) NOT NULL, model VARCHAR(64) NOT NULL,
    trace VARCHAR(128) NOT NULL, created FLOAT NOT NULL, started FLOAT, ended FLOAT, expires FLOAT,
    frames INTEGER NOT NULL, "of" INTEGER NOT NULL, attempts INTEGER NOT NULL, problem JSON, manifest JSON,
    keeper VARCHAR(32) NOT NULL, lease FLOAT NOT NULL, webhook_due FLOAT, webhook_tries INTEGER NOT NULL,
    PRIMARY KEY (id), UNIQUE (owner, idempotency))"""

OLD_INSERT = """INSERT INTO jobs (id, kind, state, request, sources, owner, request_id, inline, fingerprint, model,
    trace, created, frames, "of", attempts, keeper, lease, webhook_tries)
    VALUES (?, 'song', 'queued', '{"prompt": "", "seconds": 1.0, "seed": 1, "format": "wav"}', '[]', '', 'r', 1,
    'f', 'digest', '', 1.0, 3, 20, 0, 'the old service', 1.0, 0)"""


def old_database(folder: Path) -> Path:
    file = folder / "state.db"
    with sqlite3.connect(file) as connection:
        connection.execute(OLD_TABLE)
        connection.execute(OLD_INSERT, ("left",))
    return file


def test_a_job_of_the_version_before_is_taken_over_and_finished(tmp_path: Path) -> None:
    old_database(tmp_path)
    house = House(tmp_path)
    left = house.store.get("left")
    assert left is not None
    assert (left.lease_holder, left.client_waits, left.total_frames) == ("the old service", True, 20)
    assert view(left).timings is None

    async def finish() -> None:
        scheduler = house.scheduler(Fake())
        await scheduler.start()
        await until(lambda: house.store.get("left").state == "done")  # type: ignore[union-attr]
        await scheduler.stop()

    asyncio.run(finish())
    done = house.store.get("left")
    assert done is not None
    assert view(done).timings is not None


def test_the_version_before_goes_on_with_a_database_of_this_one(tmp_path: Path) -> None:
    house = House(tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute(OLD_INSERT, ("theirs",))
        connection.execute("UPDATE jobs SET state = 'done', keeper = 'the old service' WHERE id = 'theirs'")
    theirs = house.store.get("theirs")
    assert theirs is not None
    assert (theirs.state, theirs.timings) == ("done", None)


def test_processes_that_open_an_old_database_together_all_succeed(tmp_path: Path) -> None:
    file = old_database(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(lambda _: open_database(f"sqlite:///{file}"), range(8)))
    assert all(JobStore(engine).get("left") for engine in engines)
