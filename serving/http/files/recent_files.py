"""Keeps recently requested files in memory: a player requests the same file many times, in ranges."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MOST_BYTES = 256 * 2**20


Key = tuple[str, str]
"""A job, and the name of one of its files."""


@dataclass(frozen=True)
class ServedFile:
    """The bytes of a file, and their ETag."""

    data: bytes
    etag: str


class RecentFiles:
    """Converts each file once for any number of simultaneous requests, and keeps the most recent files.

    Args:
        most_bytes: of all that are kept; a larger file is made each time.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._kept: OrderedDict[Key, ServedFile] = OrderedDict()
        self._making: dict[Key, asyncio.Task[ServedFile | None]] = {}

    async def get(self, key: Key, make: Callable[[], bytes | None]) -> ServedFile | None:
        """The file with this key, converted in a thread if it is not cached; None if it does not exist."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._making:
            task = asyncio.create_task(asyncio.to_thread(_made, make))
            task.add_done_callback(lambda done: self._keep(key, done))
            self._making[key] = task
        return await asyncio.shield(self._making[key])  # a client that leaves does not end it for the others

    def forget(self, job: str) -> None:
        """Drop a job's files from the cache."""
        for key in [key for key in self._kept if key[0] == job]:
            self._bytes -= len(self._kept.pop(key).data)

    def _keep(self, key: Key, task: asyncio.Task[ServedFile | None]) -> None:
        del self._making[key]
        file = None if task.cancelled() or task.exception() else task.result()
        if file is None or len(file.data) > self._most_bytes:
            return
        self._kept[key] = file
        self._bytes += len(file.data)
        while self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.data)


def _made(make: Callable[[], bytes | None]) -> ServedFile | None:
    data = make()
    return None if data is None else ServedFile(data, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
