"""A service as its operator starts it: `stems serve`, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
from helpers.ports import free_port


@contextmanager
def served(**settings: object) -> Iterator[httpx.Client]:
    """A client of it, once it is ready; at the end it is killed, with all that it has started."""
    port = free_port()
    words = [f"--{name}={value}" for name, value in (settings | {"port": port}).items()]
    service = subprocess.Popen(
        [sys.executable, "-m", "cli", "serve", *words],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            _until_ready(http)
            yield http
    finally:
        root = psutil.Process(service.pid)
        for process in (root, *root.children(recursive=True)):
            process.kill()
        service.wait()


def _until_ready(http: httpx.Client) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise TimeoutError("The service did not start.")
