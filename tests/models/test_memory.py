"""Freed memory that stays: seen by the pages that the system has to map anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

from models.memory import keep_freed_memory

SCRIPT = """
import resource, sys, threading
import numpy as np
from models.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def use() -> None:
    for _ in range(10):
        np.empty(100 * 2**20, np.uint8).fill(1)

def run() -> None:
    use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    use()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if sys.argv[2] == "thread":
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
else:
    run()
"""


def faults(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
@pytest.mark.parametrize("where", ["main", "thread"])
def test_large_blocks_are_used_again(where: str) -> None:
    assert faults("keep", where) < 100
    assert faults("plain", where) > 200


def test_does_nothing_where_there_is_no_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", lambda _: pytest.fail("a library was opened"))
    assert not keep_freed_memory()
