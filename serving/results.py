"""The last few results, kept in memory for those who asked for links."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping


class ResultStore:
    """Files by result id; when they outgrow ``max_bytes``, the result that was used longest ago goes.

    The newest one always stays, whatever its size: its links were just promised to a client.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._results: OrderedDict[str, Mapping[str, bytes]] = OrderedDict()
        self._bytes = 0

    def put(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep the files of one result, under a key not used before."""
        self._results[key] = files
        self._bytes += _size(files)
        while self._bytes > self.max_bytes and len(self._results) > 1:
            _, oldest = self._results.popitem(last=False)
            self._bytes -= _size(oldest)

    def get(self, key: str) -> Mapping[str, bytes] | None:
        """The files of a result, or None where it is unknown or gone."""
        files = self._results.get(key)
        if files is not None:
            self._results.move_to_end(key)
        return files


def _size(files: Mapping[str, bytes]) -> int:
    return sum(len(data) for data in files.values())
