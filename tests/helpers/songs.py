"""Opening what the service sends."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from models.audio.files import read_audio


def open_zip(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Mono samples by file name without suffix, and the manifest."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    return {name.partition(".")[0]: read_audio(file).samples[0] for name, file in files.items()}, manifest
