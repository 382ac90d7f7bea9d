"""Files over HTTP: only from allowed hosts, never more than asked for, patiently."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.errors import StemsError
from pipelines.catalog.load import import_catalog
from pipelines.catalog.storage import http
from pipelines.catalog.storage.files import Unreachable, describe, read_bytes

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Host:
    """A server on this machine whose answers a test gives, by path."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def uri(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(http, "PAUSES_S", (0.0, 0.0))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append(f"{self.command} {self.path}")
            running.answers.get(self.path, says(404))(self)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Host(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    server.shutdown()
    thread.join()
    server.server_close()


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)

    return answer


def in_turn(*answers: Answer) -> Answer:
    left = list(answers)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


LOCAL = ["127.0.0.1"]


def test_an_allowed_host_is_read(host: Host) -> None:
    host.answers["/a%20b.wav?x=1"] = says(200, b"sound", ETag='"1"')
    assert read_bytes(host.uri("/a b.wav?x=1"), allow_hosts=LOCAL) == b"sound"
    assert read_bytes(host.uri("/a b.wav?x=1", "localhost"), allow_hosts=["LocalHost"]) == b"sound"
    file = describe(host.uri("/a%20b.wav?x=1"), LOCAL)
    assert (file.size, file.stamp, host.asked[-1]) == (5, '"1"', "HEAD /a%20b.wav?x=1")


@pytest.mark.parametrize(
    "uri", ["http://example.org/a", "http://127.0.0.1@example.org/", "https:///a", "http://[::1/a"]
)
def test_other_hosts_are_named_and_not_asked(uri: str) -> None:
    with pytest.raises(StemsError) as error:
        read_bytes(uri, allow_hosts=LOCAL)
    assert error.value.hint
    assert error.value.code in ("host", "address")


def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(host: Host) -> None:
    host.answers["/there"] = says(200, b"sound")
    host.answers["/here"] = says(302, Location="/there")
    host.answers["/away"] = says(302, Location=host.uri("/there", "localhost"))
    host.answers["/file"] = says(302, Location="file:///etc/passwd")
    host.answers["/round"] = says(302, Location="/round")
    assert read_bytes(host.uri("/here"), allow_hosts=LOCAL) == b"sound"
    host.asked.clear()
    with pytest.raises(StemsError, match="'localhost', which is not allowed") as error:
        read_bytes(host.uri("/away"), allow_hosts=LOCAL)
    assert error.value.code == "host"
    assert host.asked == ["GET /away"]
    for path in ("/file", "/round"):
        with pytest.raises(StemsError) as refused:
            read_bytes(host.uri(path), allow_hosts=LOCAL)
        assert refused.value.code == "address"


def test_a_name_that_leads_into_this_network_is_asked_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", host.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: here)
    with pytest.raises(StemsError, match=r"is at 127\.0\.0\.1, an address within this network"):
        read_bytes(host.uri("/a", "songs.example.org"), allow_hosts=["songs.example.org"])
    assert host.asked == []


def test_larger_files_than_allowed_are_refused_unread(host: Host) -> None:
    host.answers["/a"] = says(200, b"x", Content_Length="1000000000000")
    with pytest.raises(StemsError, match="at most") as error:
        read_bytes(host.uri("/a"), allow_hosts=LOCAL, max_bytes=1000)
    assert error.value.code == "too_large"
    assert len(host.asked) == 1


def test_a_host_that_hides_the_size_is_cut_off_at_the_limit(host: Host) -> None:
    sent = 0

    def endless(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        request.send_response(200)
        request.end_headers()
        while sent < 2**30:
            try:
                sent += request.wfile.write(bytes(2**20))
            except OSError:
                return

    host.answers["/a"] = endless
    with pytest.raises(StemsError) as error:
        read_bytes(host.uri("/a"), allow_hosts=LOCAL, max_bytes=2**20)
    assert error.value.code == "too_large"
    assert sent < 2**28  # what lay in buffers between the two, and no gigabyte


def test_more_than_the_declared_size_is_not_read(host: Host) -> None:
    host.answers["/a"] = says(200, b"sound and more", Content_Length="5")
    assert read_bytes(host.uri("/a"), allow_hosts=LOCAL, max_bytes=5) == b"sound"


def test_what_passes_is_waited_for(host: Host) -> None:
    broken_off = says(200, b"sou", Content_Length="5")
    host.answers["/a"] = in_turn(says(503), broken_off, says(200, b"sound"))
    assert read_bytes(host.uri("/a"), allow_hosts=LOCAL) == b"sound"
    assert len(host.asked) == 3


@pytest.mark.parametrize("answer", [says(500), says(429), says(200, b"sou", Content_Length="5")])
def test_what_stays_is_unreachable_and_no_verdict_on_the_file(host: Host, answer: Answer) -> None:
    host.answers["/a"] = answer
    with pytest.raises(Unreachable) as error:
        read_bytes(host.uri("/a"), allow_hosts=LOCAL)
    assert (error.value.code, len(host.asked)) == ("unreachable", 3)


def test_a_host_that_does_not_answer_is_unreachable(host: Host) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            read_bytes(f"http://127.0.0.1:{taken.getsockname()[1]}/a", allow_hosts=LOCAL)


def test_what_is_not_there_or_not_given(host: Host) -> None:
    host.answers["/secret"] = says(403)
    with pytest.raises(FileNotFoundError):
        read_bytes(host.uri("/lost"), allow_hosts=LOCAL)
    with pytest.raises(StemsError, match="403") as error:
        read_bytes(host.uri("/secret"), allow_hosts=LOCAL)
    assert error.value.code == "refused"
    assert describe(host.uri("/lost"), LOCAL).stamp == "missing"
    assert len(host.asked) == 3


def test_a_catalog_over_http(host: Host, tmp_path: Path) -> None:
    lines = [{"path": "a b.wav", "caption": "said"}, {"path": host.uri("/c.wav")}, {"path": "lost.wav"}]
    host.answers["/songs/list.jsonl?key=1/2"] = says(200, "\n".join(map(json.dumps, lines)).encode())
    host.answers["/songs/a%20b.wav"] = says(200, b"sound", ETag="1")
    host.answers["/c.wav"] = says(200, b"more", ETag="2")
    manifest = host.uri("/songs/list.jsonl?key=1/2")
    a, c, lost = import_catalog(manifest, allow_hosts=LOCAL)
    assert (a.uri, a.size, a.caption) == (host.uri("/songs/a%20b.wav"), 5, "said")
    assert (c.size, lost.size) == (4, 0)
    with pytest.raises(StemsError, match=r"127\.0\.0\.1"):
        import_catalog(manifest)


def test_a_local_manifest_names_only_allowed_hosts(tmp_path: Path) -> None:
    rows = [{"path": "http://one.example.org/a.wav"}, {"path": "http://two.example.org/a.wav"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(StemsError, match=r"one\.example\.org.* 1 more") as error:
        import_catalog(str(tmp_path / "m.jsonl"))
    assert "--allow-hosts one.example.org" in error.value.hint


@pytest.mark.parametrize("name", ["/etc/passwd", "file:///etc/passwd"])
def test_a_manifest_over_http_names_no_local_files(host: Host, name: str) -> None:
    host.answers["/list.jsonl"] = says(200, json.dumps({"path": name}).encode())
    with pytest.raises(StemsError, match=r"line 1: .* a file of this machine"):
        import_catalog(host.uri("/list.jsonl"), allow_hosts=LOCAL)
