"""The clients on real connections, which really break."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers.fake_clients import Blocking
from helpers.fake_service import event, job

from serving.client.client import AsyncStems, ProgressEvent, RequestError, Stems

Answer = Callable[[socket.socket], None]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PROGRESS = [event("progress", {"frames": n, "of": 3}, n) for n in range(4)]


class Server:
    """Answers one connection after the other, and then hangs up; remembers what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.heard = answers, list[str]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        for answer in self.answers:
            connection, _ = self.listener.accept()
            with connection:
                self.heard.append(connection.recv(65_536).decode())
                answer(connection)
        self.listener.close()

    def header(self, name: str) -> list[str]:
        """The values of a header in all that was heard."""
        lines = [line for text in self.heard for line in text.split("\r\n")]
        return [line.partition(": ")[2] for line in lines if line.lower().startswith(name)]


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def says(data: bytes) -> Answer:
    return lambda connection: connection.sendall(data)


def accepted() -> bytes:
    body = json.dumps(job("queued")).encode()
    return b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.fixture(params=[Stems, AsyncStems])
def connect(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def connect(url: str, **settings: Any) -> Any:
        client = request.param(url, **settings)
        return client if request.param is Stems else Blocking(client)

    return connect


def test_connections_that_break_cost_nothing(connect: Callable[..., Any]) -> None:
    cut = says(HEAD + chunk(PROGRESS[0] + PROGRESS[1]) + chunk(PROGRESS[2])[:-20])
    rest = says(HEAD + chunk(PROGRESS[2] + PROGRESS[3] + event("end", job(), 4)) + b"0\r\n\r\n")
    server = Server(says(b""), says(accepted()[:-9]), says(accepted()), cut, says(b""), rest)
    client = connect(server.url, patience=20)
    found = client.song("a")
    heard = list(client.events(found))
    assert [one.frames for one in heard[:-1]] == [0, 1, 2, 3]
    assert heard[-1].job.state == "done"
    keys = server.header("idempotency-key")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert server.header("last-event-id") == ["1", "1"]


def test_an_address_where_nothing_listens(connect: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(RequestError, match=f"{url}/ gave no answer: ") as caught:
        connect(url, patience=0).song()
    assert (caught.value.status, caught.value.taken) == (0, False)


def test_events_come_as_they_happen() -> None:
    heard = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + chunk(PROGRESS[0]))
        assert heard.wait(10)
        connection.sendall(chunk(event("end", job(), 1)))

    for one in Stems(Server(answer).url, patience=0).events(job()["id"]):
        if isinstance(one, ProgressEvent):
            heard.set()
    assert heard.is_set()
