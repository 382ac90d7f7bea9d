"""Split a file into parts for decoders: its first bytes give the container, its contents the parts."""

from __future__ import annotations

from dataclasses import replace

from models.audio.containers.chunked import chunk_parts
from models.audio.containers.ffmpeg import ffmpeg_container, missing_bytes
from models.audio.containers.flac import flac_parts
from models.audio.containers.mpeg import mpeg_parts
from models.audio.containers.ogg import ogg_parts
from models.audio.containers.parts import AS_IT_IS, FilePart, breaks_off
from models.audio.containers.tags import after_leading_tags, before_trailing_tags
from models.audio.containers.view import View

_MAGIC = 16
_CHUNKED = (b"RIFF", b"RF64", b"BW64", b"FORM", b"caff", b"riff", b".snd")


def file_parts(data: View, label: str) -> tuple[FilePart, ...]:
    """The parts of a file, each with its true length.

    Raises:
        StemsError: ``truncated`` or ``unreadable`` where some of the audio is missing, ``unsupported`` where its
            rate or channels change.
    """
    tags = after_leading_tags(data)
    head = data[tags : tags + _MAGIC]
    if container := ffmpeg_container(head):
        return _for_ffmpeg(data, tags, container, label)
    if head[:4] in (*_CHUNKED, b"fLaC", b"OggS"):
        inner = data[tags:] if tags else data
        parts = _parts(inner, head, label)
        # libsndfile drops as many bytes at the end as the leading tags have.
        return tuple(replace(part, data=part.data or inner[:]) for part in parts) if tags else parts
    return mpeg_parts(data[:], label) or AS_IT_IS


def _parts(data: View, head: bytes, label: str) -> tuple[FilePart, ...]:
    if head[:4] == b"fLaC":
        return flac_parts(data, label)
    return ogg_parts(data[:], label) if head[:4] == b"OggS" else chunk_parts(data, label)


def _for_ffmpeg(data: View, start: int, container: str, label: str) -> tuple[FilePart, ...]:
    """The file without tags that its container does not define: FFmpeg fails on them."""
    end = before_trailing_tags(data, start) if container == "aac" else len(data)
    inner = data if end - start == len(data) else data[start:end]
    if missing := missing_bytes(inner, container):
        raise breaks_off(label, f"{missing:,} bytes before its end")
    return (FilePart(inner),) if isinstance(inner, bytes) and inner is not data else AS_IT_IS
