"""Files of chunks: as long as their audio, whatever size their headers give it."""

from __future__ import annotations

import soundfile

from models.audio.containers.chunks import AudioChunk, audio_chunk
from models.audio.containers.parts import AS_IT_IS, TOLERANCE_S, FilePart, truncated, uncounted
from models.audio.containers.view import Memory, View


def chunk_parts(data: View, label: str) -> tuple[FilePart, ...]:
    """WAV, RF64, Wave64, AIFF, CAF or AU: as it is, or with the size of its audio corrected.

    Raises:
        StemsError: ``truncated``, or ``unreadable`` where undescribed bytes follow that may be audio.
    """
    chunk = audio_chunk(data)
    if chunk is None:
        return AS_IT_IS
    rest = chunk.rest(data)
    if chunk.size is None:
        return (FilePart(chunk.with_size(data, rest)),)
    if chunk.size <= rest and chunk.describes_rest:
        return AS_IT_IS if chunk.size == rest or chunk.needs_rest else (FilePart(chunk.with_size(data, chunk.size)),)
    speed = _bytes_a_second(chunk, data, rest)
    if speed == 0 or abs(chunk.size - rest) <= TOLERANCE_S * speed:
        return AS_IT_IS
    if chunk.says_end:
        return (FilePart(chunk.with_size(data, rest)),)
    if chunk.size > rest:
        raise truncated(label, rest / speed, chunk.size / speed)
    raise uncounted(label, chunk.size / speed, rest - chunk.size, (rest - chunk.size) / speed)


def _bytes_a_second(chunk: AudioChunk, data: View, size: int) -> float:
    """Bytes per second of audio; 0 where libsndfile cannot open the file (its own error follows later)."""
    try:
        with soundfile.SoundFile(Memory(chunk.with_size(data, size))) as file:
            return size * file.samplerate / file.frames if file.frames else 0.0
    except (soundfile.SoundFileError, RuntimeError, TypeError):
        return 0.0
