from __future__ import annotations

import pytest

from serving.errors import BusyError
from serving.http.rate_limit import RateLimit


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("serving.http.rate_limit.time.monotonic", lambda: now)
    limit = RateLimit(per_minute=6)
    for _ in range(6):
        limit.take("me")
    with pytest.raises(BusyError) as caught:
        limit.take("me")
    assert caught.value.retry_after == 10
    limit.take("another")
    now += 10.1
    limit.take("me")
    with pytest.raises(BusyError):
        limit.take("me")
