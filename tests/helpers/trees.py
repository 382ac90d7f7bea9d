"""Folders as tests need them: files of any content, and short files of sound."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from models.audio.files import Audio, write_audio


def put(path: Path, data: bytes | str = b"sound") -> Path:
    """Write a file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def put_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write JSON lines, packed where the name ends in .gz."""
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    return put(path, gzip.compress(data) if path.suffix == ".gz" else data)


def put_sound(path: Path, seconds: float = 0.5, rate: int = 8000) -> Path:
    """Write real audio, a soft tone."""
    samples = 0.1 * np.sin(np.arange(int(seconds * rate), dtype=np.float32) * 0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, Audio(samples[None].astype(np.float32), rate))
    return path
