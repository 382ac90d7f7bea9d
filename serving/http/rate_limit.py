"""Rate limits per client."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from serving.errors import BusyError

_MOST_CLIENTS = 10_000


class RateLimit:
    """A token bucket per client: refilled evenly, and holding one minute's tokens at most."""

    def __init__(self, per_minute: int) -> None:
        self._most, self._rate = float(per_minute), per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Take a token; BusyError with the waiting time if there is none."""
        now = time.monotonic()
        tokens, then = self._buckets.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self._rate)
        self._buckets[client] = (max(tokens - 1, 0) if tokens >= 1 else tokens, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            wait = max(1, math.ceil((1 - tokens) / self._rate))
            raise BusyError(
                f"More than {self._most:g} requests a minute came from you.",
                "Ask less often.",
                code="too_many",
                retry_after=wait,
            )
