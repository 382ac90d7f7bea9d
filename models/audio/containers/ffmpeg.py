"""M4A, AAC and WebM, which libsndfile does not read: FFmpeg's libraries, restricted to these containers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models.audio.containers.view import View

_KINDS = {"mp4": "MP4", "aac": "AAC", "matroska": "WEBM"}
"""FFmpeg's names of the containers that it may open here, and this project's names for them."""

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = {b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp", b"meta"}
_MOST_BOXES = 100_000
_UNKNOWN_SIZE = (1 << 56) - 1
_MICROSECONDS = 1_000_000


class FfmpegError(RuntimeError):
    """FFmpeg's reason for not reading a file."""


def ffmpeg_container(head: bytes) -> str:
    """FFmpeg's name of the container that starts with these bytes; empty for libsndfile's containers."""
    if head[4:8] == b"ftyp":
        return "mp4"
    if head[:4] == _EBML:
        return "matroska"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # ADTS: the layer's bits are 0
        return "aac"
    return ""


class FfmpegReader:
    """The first audio stream of a file, read forwards.

    Args:
        source: a path, or the file's bytes.
        container: see :func:`ffmpeg_container`.

    Attributes:
        samplerate: Hz.
        channels: channels of the stream.
        format: the container.
        frames: samples that the header promises; 0 where it states none.
        others_longer: samples by which other streams, such as video, outlast this one.

    Raises:
        FfmpegError: the file cannot be read, or it has no audio.
    """

    def __init__(self, source: Path | bytes, container: str) -> None:
        import av

        try:
            file: Any = io.BytesIO(source) if isinstance(source, bytes) else str(source)
            self._container = av.open(file, format=container, options={"enable_drefs": "0", "use_absolute_path": "0"})
        except (av.FFmpegError, ValueError, OSError) as error:
            raise FfmpegError(_said(error)) from error
        streams = self._container.streams.audio
        if not streams or streams[0].codec_context is None:
            self._container.close()
            raise FfmpegError("its codec is unknown" if streams else "it has no audio")
        stream = streams[0]
        self.format = _KINDS[container]
        self.samplerate, self.channels = int(stream.rate or 0), int(stream.channels or 0)
        self.frames, self.others_longer = self._promised(stream), 0
        self._blocks = self._decoded(stream)
        self._rest = np.zeros((0, self.channels), np.float32)

    def read(self, count: int) -> np.ndarray:
        """The next samples, float32 [n, channels]: at most ``count``, and none at the end."""
        while len(self._rest) == 0:
            block = next(self._blocks, None)
            if block is None:
                return self._rest
            self._rest = block
        block, self._rest = self._rest[:count], self._rest[count:]
        return block

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _promised(self, stream: Any) -> int:
        if self.format == "AAC":  # an estimate from the bit rate of its first frames
            return 0
        if stream.duration is not None and stream.time_base is not None:
            return int(stream.duration * stream.time_base * self.samplerate)
        whole = self._container.duration  # of all streams, from time 0
        late = max(0.0, float(stream.start_time * stream.time_base)) if stream.start_time else 0.0
        return max(0, int((whole / _MICROSECONDS - late) * self.samplerate)) if whole else 0

    def _decoded(self, stream: Any) -> Iterator[np.ndarray]:
        import av

        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=self.samplerate)
        mine = others = 0.0
        try:
            for packet in self._container.demux():
                until = 0.0 if packet.pts is None else float((packet.pts + (packet.duration or 0)) * packet.time_base)
                if packet.stream is not stream:
                    others = max(others, until)
                    continue
                mine = max(mine, until)
                for frame in packet.decode():
                    if (frame.sample_rate, frame.layout.nb_channels) != (self.samplerate, self.channels):
                        raise FfmpegError("its rate or channels change in the middle")
                    frame.pts = None  # gaps between time stamps are not sound
                    yield from (np.ascontiguousarray(each.to_ndarray().T) for each in resampler.resample(frame))
        except (av.FFmpegError, ValueError) as error:
            raise FfmpegError(_said(error)) from error
        if stream.duration is None:
            self.others_longer = max(0, int((others - mine) * self.samplerate))


def missing_bytes(data: View, container: str) -> int:
    """Bytes that the sizes of a file's boxes or segments promise and the file lacks."""
    if container == "mp4":
        return _missing_boxes(data)
    return _missing_segment(data) if container == "matroska" else 0


def _missing_boxes(data: View) -> int:
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            break
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name not in _BOXES:  # something else behind the file
            return 0
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0 goes on to the end
            return 0
        at += size
    return max(0, at - len(data))


def _missing_segment(data: View) -> int:
    """Bytes that a Matroska segment lacks (RFC 8794); 0 where its size is unknown."""
    size, at = _vint(data, len(_EBML))
    at += size
    if data[at : at + 4] != _SEGMENT:
        return 0
    size, at = _vint(data, at + 4)
    return 0 if size >= _UNKNOWN_SIZE else max(0, at + size - len(data))


def _vint(data: View, at: int) -> tuple[int, int]:
    """A number of variable length, and the offset of its end; the largest number means "unknown"."""
    first = int.from_bytes(data[at : at + 1], "big")
    if first == 0:
        return _UNKNOWN_SIZE, at
    more = 8 - first.bit_length()
    value = int.from_bytes(bytes([first & (0x7F >> more)]) + data[at + 1 : at + 1 + more], "big")
    return (_UNKNOWN_SIZE if value == (1 << 7 * (more + 1)) - 1 else value), at + 1 + more


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".").lower()
