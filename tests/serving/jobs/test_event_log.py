from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from serving.jobs.event_log import EventLog


@given(after=st.integers(0, 12), before=st.integers(0, 8))
def test_who_comes_back_gets_what_it_missed_and_a_stranger_gets_all(after: int, before: int) -> None:
    """``after`` names an event that was told; or none that this process has told."""

    async def follow() -> list[int]:
        event_log = EventLog()
        for _ in range(before):
            event_log.append("progress", "{}")
        reader = asyncio.create_task(collect(event_log))
        await asyncio.sleep(0)
        event_log.append("progress", "{}")
        event_log.append("end", "{}")
        event_log.append("progress", "{}")  # nothing follows the end
        return await reader

    async def collect(event_log: EventLog) -> list[int]:
        return [event.number async for event in event_log.subscribe(after)]

    first = after + 1 if after <= before else 1
    assert asyncio.run(follow()) == list(range(first, before + 3))
