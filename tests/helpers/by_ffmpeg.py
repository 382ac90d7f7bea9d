"""Files that FFmpeg's libraries write, and what they hear in a file."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 44_100

Sound = np.ndarray
"""float32 [n, channels]."""


def song(seconds: float, rate: int = RATE, channels: int = 2, quiet: float = 0.0) -> Sound:
    """A tone that wanders, with noise every other second, so that frames differ in size; silence at first."""
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (440 + 50 * np.sin(2 * np.pi * 0.3 * time)) * time)
    noise = np.random.default_rng(5).standard_normal((len(time), channels)) * 0.1 * (time % 2 > 1)[:, None]
    sound = (tone[:, None] + noise).astype(np.float32)
    sound[: round(quiet * rate)] = 0
    return sound


def by_ffmpeg(sound: Sound, rate: int, container: str, codec: str, *, vbr: bool = False, **options: str) -> bytes:
    """A file by FFmpeg's encoders; ``options`` are the container's."""
    with tempfile.NamedTemporaryFile() as file:  # a "fast start" is a second pass over a file of that name
        _encode(file.name, sound, rate, container, codec, vbr, options)
        return Path(file.name).read_bytes()


def _encode(
    path: str, sound: Sound, rate: int, container: str, codec: str, vbr: bool, options: dict[str, str]
) -> None:
    with av.open(path, "w", format=container, options=options) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.layout = {1: "mono", 2: "stereo"}[sound.shape[1]]
        stream.options = {"global_quality": "590", "flags": "+qscale"} if vbr else {}
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=stream.format.name, layout=stream.layout.name, rate=rate)
        for each in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(each))
        out.mux(stream.encode(None))


def shifted(data: bytes, seconds: float) -> bytes:
    """The same WebM with all its time stamps later."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as file, av.open(buffer, "w", format="webm") as out:
        stream = out.add_stream_from_template(file.streams.audio[0])
        for packet in file.demux(audio=0):
            if packet.pts is not None and packet.dts is not None:
                later = round(seconds / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, stream
                out.mux(packet)
    return buffer.getvalue()


def film(sound: Sound, seconds: float) -> bytes:
    """A WebM with pictures for so long, and this sound at 48 kHz."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as out:
        pictures: Any = out.add_stream("libvpx", rate=10)
        pictures.width = pictures.height = 64
        stream: Any = out.add_stream("libopus", rate=48_000, layout="stereo")
        for number in range(round(seconds * 10)):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts = number
            out.mux(pictures.encode(picture))
        out.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        for each in av.AudioResampler(stream.format.name, "stereo", 48_000, frame_size=960).resample(frame):
            out.mux(stream.encode(each))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def heard_by_ffmpeg(data: bytes) -> float:
    """Seconds that FFmpeg decodes, passing over what it cannot; 0 for a file that it does not open."""
    seconds = 0.0
    try:
        with av.open(io.BytesIO(data), "r") as file:
            for packet in file.demux(audio=0):
                with suppress(av.FFmpegError):
                    frames: Any = packet.decode()
                    seconds += sum(frame.samples / frame.sample_rate for frame in frames)
    except av.FFmpegError:
        return 0.0
    return seconds
