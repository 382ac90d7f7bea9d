"""A webhook that keeps what it is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from serving.jobs.database import open_database
from serving.jobs.job_store import JobStore

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Hook:
    """``calls`` has path, headers and body of each request, as they came."""

    host: str
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://{self.host}/told?of=it"

    @property
    def told(self) -> list[dict[str, Any]]:
        """The jobs."""
        return [json.loads(body) for _, _, body in self.calls]


@contextmanager
def listening(*statuses: int) -> Iterator[Hook]:
    """A webhook on this machine. It answers with these, one after the other, and then that all is well."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            hook.calls.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(left.pop(0) if left else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Hook(f"127.0.0.1:{server.server_address[1]}")
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield hook
    server.shutdown()
    server.server_close()


def until_settled(hook: Hook, state: str, calls: int) -> None:
    """Wait until ``hook`` has had so many calls and the jobs in the database ``state`` will make no more, ever."""
    store, end = JobStore(open_database(state)), time.monotonic() + 30
    while len(hook.calls) < calls or store.due_webhooks(now=1e12):
        assert time.monotonic() < end, f"{len(hook.calls)} of {calls} calls came"
        time.sleep(0.05)
