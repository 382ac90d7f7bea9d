"""A finished song as files: one per stem, the mix, the manifest; and the zip of them all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from models.audio import Audio, encode_audio, safe_gain
from models.song import Song
from serving.schemas import EditRequest, Manifest, Origin, SongRequest, StemEntry

MANIFEST = "manifest.json"

# Every entry bears the same date, so that the same song is the same zip.
_DATE = (1980, 1, 1, 0, 0, 0)


def describe(
    song: Song,
    request: SongRequest | EditRequest,
    origins: Mapping[str, Origin],
    *,
    model: str,
    request_id: str,
) -> Manifest:
    """The manifest of a finished song."""
    suffix = request.format
    return Manifest(
        request_id=request_id,
        task="edit" if isinstance(request, EditRequest) else "song",
        prompt=song.prompt,
        seconds=song.seconds,
        sample_rate=song.rate,
        format=suffix,
        gain=safe_gain(song.mix, *song.stems.values()),
        seed=song.seed,
        model=model,
        guidance=request.guidance,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        keep=request.keep if isinstance(request, EditRequest) else None,
        stems=[StemEntry(name=name, file=f"{name}.{suffix}", origin=origins[name]) for name in song.layout.names],
        mix=f"mix.{suffix}",
    )


def song_files(song: Song, manifest: Manifest) -> dict[str, bytes]:
    """Encode the stems and their mix, all with the manifest's gain, so that they still sum up.

    Returns:
        File name -> bytes: the stems in order, the mix, the manifest.
    """

    def encoded(samples: np.ndarray) -> bytes:
        scaled = (samples * manifest.gain).astype(np.float32)[np.newaxis]
        return encode_audio(Audio(scaled, song.rate), manifest.format)

    files = {stem.file: encoded(song.stems[stem.name]) for stem in manifest.stems}
    files[manifest.mix] = encoded(song.mix)
    files[MANIFEST] = manifest.model_dump_json(indent=2).encode()
    return files


def zip_files(files: Mapping[str, bytes]) -> bytes:
    """One zip, its entries stored: audio hardly shrinks, and storing is instant."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return buffer.getvalue()
