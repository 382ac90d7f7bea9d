"""An ASGI app on a socket of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def listening(app: Any) -> Iterator[tuple[str, int]]:
    """The address where it answers."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", log_config=None))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield bound.getsockname()
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
