"""A client, blocking or asynchronous, with a service in its transport."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from helpers.fake_clients import AsyncClock, Blocking, Clock, Make
from helpers.fake_service import Script

from serving.client.client import AsyncStems, Stems


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("client", "retries", "protocol", "events"):
        monkeypatch.setattr(f"serving.client.{module}.time", clock)
    monkeypatch.setattr("serving.client.client.asyncio", AsyncClock(clock))
    monkeypatch.delenv("STEMS_API_KEY", raising=False)
    return clock


@pytest.fixture(params=[Stems, AsyncStems])
def make(request: pytest.FixtureRequest) -> Make:
    def client(service: Script, server: str = "http://stems.test", **settings: Any) -> Any:
        made = request.param(server, transport=httpx.MockTransport(service), **settings)
        return made if request.param is Stems else Blocking(made)

    return client
