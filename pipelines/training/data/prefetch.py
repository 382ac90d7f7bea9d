"""Prepare the next data while the device computes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Ahead(Generic[Key, Value]):
    """Computes one value ahead, in a thread. ``make`` depends only on its key, so only the timing changes.

    An error is raised when its value is taken, not before.
    """

    def __init__(self, make: Callable[[Key], Value]) -> None:
        self._make, self._pool = make, ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: tuple[Key, Future[Value]] | None = None

    def take(self, key: Key, after: Key) -> Value:
        """The value of ``key``; also starts to compute the value of ``after``."""
        begun = self._next
        value = begun[1].result() if begun is not None and begun[0] == key else self._make(key)
        self._next = after, self._pool.submit(self._make, after)
        return value
