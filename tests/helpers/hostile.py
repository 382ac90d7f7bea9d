"""What clients that mean harm send, and how a refusal is told."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse
from typing import Any

import numpy as np
import psutil

from models.audio.files import Audio, encode_audio

ASYNC = {"Prefer": ""}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def assert_refused(answer: Any, status: int, field: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["field"]) == (status, field), problem
    return problem


def part(name: str, data: bytes, filename: str = "") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"


def song(seconds: float = 1.0) -> bytes:
    return encode_audio(Audio(np.full((1, round(8000 * seconds)), 0.1, np.float32), 8000), "flac")


def resident_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


def answer_of(connection: socket.socket) -> tuple[int, str]:
    """Status and field of an answer; what the HTTP server itself refuses names no field."""
    with HTTPResponse(connection) as answer:
        connection.settimeout(10)
        answer.begin()
        body = answer.read()
        problem = answer.headers["content-type"] == "application/problem+json"
        return answer.status, json.loads(body)["field"] if problem else ""
