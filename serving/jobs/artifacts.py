"""A finished song as files: one per stem, the mix, its tokens, the manifest; and the zip that clients get."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import numpy as np

from models.audio.files import FORMATS, Audio, AudioFormat, encode_audio, read_audio, safe_gain
from models.song.song import mixed
from models.stems import StemLayout
from serving.kinds.kind import Kind, MusicRequest
from serving.schemas import Manifest, StemEntry
from serving.workers.protocol import ModelInfo

MANIFEST, CODES, ZIP, MIX = "manifest.json", "codes.npy", "song.zip", "mix"
KEPT: AudioFormat = "flac"
"""How sound is kept: what it is asked for as is made of that, without loss where the format has none."""

MEDIA = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/opus",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "json": "application/json",
    "zip": "application/zip",
    "npy": "application/octet-stream",
}

# Every entry bears the same date, so that the same song is the same zip.
_DATE = (1980, 1, 1, 0, 0, 0)


def describe(
    job: str,
    kind: Kind[Any],
    request: MusicRequest,
    stems: Mapping[str, np.ndarray],
    given: Collection[str],
    info: ModelInfo,
) -> Manifest:
    """The manifest of a finished song, whose request has a seed and a format; ``given`` stems were given."""
    suffix = request.format or "wav"
    seconds = len(next(iter(stems.values()))) / info.sample_rate
    assert request.seed is not None
    return Manifest(
        job=job,
        task=kind.name,
        prompt=request.prompt,
        seconds=seconds,
        sample_rate=info.sample_rate,
        format=suffix,
        gain=safe_gain(mixed(stems), *stems.values()),
        seed=request.seed,
        model=info.digest,
        precision=info.precision,
        guidance=request.guidance,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        stems=[
            StemEntry(name=name, file=f"{name}.{suffix}", origin=kind.origin(request, name, given)) for name in stems
        ],
        mix=f"{MIX}.{suffix}",
        **kind.manifest_fields(request, seconds),
    )


def kept_files(stems: Mapping[str, np.ndarray], codes: np.ndarray, manifest: Manifest) -> dict[str, bytes]:
    """The stored files of a song: its tokens; stems and mix with one gain, so that stems sum to the mix."""

    def encoded(samples: np.ndarray) -> bytes:
        scaled = (samples * manifest.gain).astype(np.float32)[np.newaxis]
        return encode_audio(Audio(scaled, manifest.sample_rate), KEPT)

    buffer = io.BytesIO()
    np.save(buffer, codes)
    files = {f"{name}.{KEPT}": encoded(samples) for name, samples in stems.items()}
    mix = {f"{MIX}.{KEPT}": encoded(mixed(stems))}
    return files | mix | {CODES: buffer.getvalue(), MANIFEST: manifest.model_dump_json(indent=2).encode()}


def read_codes(data: bytes, layout: StemLayout) -> dict[str, np.ndarray]:
    """Stored tokens by stem, ``[codebooks, frames]``; empty if they have another layout."""
    codes = np.load(io.BytesIO(data), allow_pickle=False)
    return {name: codes[layout.slice(name)] for name in layout.names} if len(codes) == layout.streams else {}


def one_file(name: str, manifest: Manifest, kept: Callable[[str], bytes | None]) -> bytes | None:
    """One file of a result, converted from the stored files to any format; None if there is no such file."""
    if name == ZIP:
        return _zipped(manifest, kept)
    if name in (MANIFEST, CODES):
        return kept(name)
    stem, _, suffix = name.rpartition(".")
    if suffix not in FORMATS or stem not in (MIX, *(entry.name for entry in manifest.stems)):
        return None
    data = kept(f"{stem}.{KEPT}")
    return data if data is None or suffix == KEPT else encode_audio(read_audio(data), cast(AudioFormat, suffix))


def _zipped(manifest: Manifest, kept: Callable[[str], bytes | None]) -> bytes | None:
    """Its entries are stored: audio hardly shrinks, and storing is instant."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in (*(entry.file for entry in manifest.stems), manifest.mix, MANIFEST):
            data = one_file(name, manifest, kept)
            if data is None:
                return None
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return buffer.getvalue()
