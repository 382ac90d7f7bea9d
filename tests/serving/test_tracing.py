"""Spans, as a collector receives them: one trace from the request to its song."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SCRIPT = """
import sys
from fastapi.testclient import TestClient
from opentelemetry import trace
from serving import tracing
from serving.http.api import create_app
from serving.config import ServeConfig
sys.path.insert(0, "tests/serving")
from conftest import Band

model, folder, collector = sys.argv[1:]
settings = ServeConfig(model=model, state=f"sqlite:///{folder}/s.db", results=folder, traces=collector)
tracing.start(collector, "ingress")
with TestClient(create_app(settings, Band(settings)), "http://127.0.0.1") as client:
    headers = {"Prefer": "wait=60", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    answer = client.post("/v1/songs", json={"seconds": 1, "prompt": "secret words"}, headers=headers)
    assert answer.status_code == 200, answer.text
trace.get_tracer_provider().shutdown()
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    """The address of an OTLP collector, and the spans that came."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces", spans
    server.shutdown()


def test_a_trace_goes_from_the_request_to_the_decoding(
    collector: tuple[str, list[Any]], model_directory: Path, tmp_path: Path
) -> None:
    address, spans = collector
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model_directory), str(tmp_path), address],
        cwd=Path(__file__).parents[2],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    by_name, by_id = {span.name: span for span in spans}, {span.span_id: span for span in spans}
    assert {span.trace_id.hex() for span in spans} == {"a" * 32}
    assert by_name["POST"].parent_span_id.hex() == "b" * 16
    above = by_name["job"]
    while above.name != "POST":  # the framework may have spans of its own between
        above = by_id[above.parent_span_id]
    assert by_name["generate"].parent_span_id == by_name["job"].span_id
    attributes = {entry.key for entry in by_name["generate"].attributes}
    assert {"frames", "first_audio_seconds"} <= attributes
    for stage in ("encoding", "decoding", "codec"):
        assert by_name[stage].parent_span_id == by_name["generate"].span_id
        assert by_name[stage].start_time_unix_nano <= by_name[stage].end_time_unix_nano
        assert [entry.value.double_value > 0 for entry in by_name[stage].attributes] == [True]
    assert by_name["storing"].parent_span_id == by_name["job"].span_id
    assert [entry.value.int_value for entry in by_name["job"].attributes if entry.key == "attempts"] == [1]
    assert not any("secret words" in str(span) for span in spans)
