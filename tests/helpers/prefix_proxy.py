"""A proxy that shows a service below a prefix, as operators set them up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PREFIX = "/music"
_ONE_HOP = {"connection", "keep-alive", "transfer-encoding"}


@contextmanager
def prefix_proxy(port: int, told: Mapping[str, str], *, keeps_host: bool) -> Iterator[str]:
    """The address of the service on ``port`` below /music, which the proxy removes; ``told`` are headers it adds."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            outside = {name.lower(): value for name, value in self.headers.items()}
            headers = {name: value for name, value in outside.items() if name not in _ONE_HOP}
            if not keeps_host:
                headers["host"] = f"127.0.0.1:{port}"
            headers |= {name: value.format(host=outside["host"]) for name, value in told.items()}
            inside = HTTPConnection("127.0.0.1", port, timeout=60)
            inside.request(self.command, self.path.removeprefix(PREFIX), body or None, headers)
            answer = inside.getresponse()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _ONE_HOP:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while piece := answer.read1(2**16):
                self.wfile.write(piece)
            self.close_connection = True

        def __getattr__(self, name: str) -> object:
            if name.startswith("do_"):
                return self.handle_any
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        finally:
            server.shutdown()
