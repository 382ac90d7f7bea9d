"""The table of jobs, on SQLite and on a real Postgres."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import StemsError
from serving.jobs.database import open_database
from serving.jobs.job_store import JobRecord, JobStore


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobStore]:
    address = f"sqlite:///{tmp_path}/state.db"
    if request.param == "postgres":
        address = request.getfixturevalue("postgres")
    engine = open_database(address)
    yield JobStore(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
    engine.dispose()


def job(name: str = "one", **changes: Any) -> JobRecord:
    record = JobRecord(name, "song", {"seed": 2**53 - 1}, ["bass"], "", "r", "f", "digest", "me", time.time() + 60)
    return replace(record, **changes)


def test_a_job_comes_back_as_it_was(store: JobStore) -> None:
    stored = store.add(job(trace="00-1-2-01", idempotency="x", manifest={"a": [1.5, None]}))
    assert store.get("one") == stored
    assert store.get("two") is None


def test_a_name_given_twice_is_one_job(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: store.add(job(f"j{k}", idempotency="same")), range(8)))
    assert len({record.id for record in found}) == 1
    assert store.add(job("theirs", owner="another", idempotency="same")).id == "theirs"
    assert store.add(job("nameless")).id == "nameless"
    with pytest.raises(StemsError) as caught:
        store.add(job("late", idempotency="same", fingerprint="other"))
    assert caught.value.field == "idempotency-key"


def test_a_job_ends_once_whoever_tries(store: JobStore) -> None:
    store.add(job())
    assert store.start("one", "me", 1.0, {})

    def end(k: int) -> bool:
        if k % 3 == 0:
            return store.cancel("one", ended=1.0, expires=2.0)
        return store.finish("one", "me" if k % 3 == 1 else "another", state="done", ended=1.0)

    with ThreadPoolExecutor(9) as pool:
        assert sum(pool.map(end, range(18))) == 1
    assert not store.start("one", "me", 2.0, {})


def test_abandoned_jobs_are_taken_over_by_one(store: JobStore) -> None:
    for k in range(20):
        store.add(job(f"j{k:02}", lease_holder="dead", lease=5.0, created=float(k)))
    store.add(job("alive"))
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda k: store.adopt(f"keeper {k}", 1e12, now=10.0), range(4)))
    assert sorted(record.id for records in taken for record in records) == [f"j{k:02}" for k in range(20)]
    assert all(records == sorted(records, key=lambda record: record.created) for records in taken)
    assert not store.note("j00", "dead", 1, 2, 1)


def test_a_lease_that_is_renewed_is_kept(store: JobStore) -> None:
    store.add(job(lease=5.0))
    store.renew("me", 20.0)
    assert store.adopt("another", 30.0, now=10.0) == []


def test_what_was_cancelled_and_what_has_expired_is_found(store: JobStore) -> None:
    for name in ("a", "b", "c"):
        store.add(job(name))
    assert store.cancel("a", ended=1.0, expires=2.0)
    assert store.cancelled(["a", "b", "gone"]) == {"a", "gone"}
    assert store.expired(3.0) == ["a"]
    store.forget("a")
    assert store.get("a") is None


def test_webhooks_are_due_when_their_job_has_ended(store: JobStore) -> None:
    store.add(job())
    store.start("one", "me", 1.0, {})
    assert store.due_webhooks(10.0) == []
    store.finish("one", "me", state="done", ended=2.0, webhook_due=5.0)
    assert store.due_webhooks(4.0) == []
    assert [record.id for record in store.due_webhooks(6.0)] == ["one"]
    store.webhook_later("one", 20.0)
    assert store.due_webhooks(6.0) == []
    assert [record.webhook_tries for record in store.due_webhooks(21.0)] == [1]
    store.webhook_done("one")
    assert store.due_webhooks(1e12) == []


@pytest.mark.parametrize("address", ["nonsense", "oracle://x", "postgresql+psycopg://u:secret@127.0.0.1:1/x"])
def test_a_database_that_cannot_be_used_is_named_without_its_password(address: str) -> None:
    with pytest.raises(StemsError) as caught:
        open_database(address)
    assert caught.value.field == "state"
    assert "secret" not in str(caught.value)
