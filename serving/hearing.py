"""What has been heard of a job that is being played."""

from __future__ import annotations

import json
import time

from serving.broadcast import Broadcast, Sound
from serving.metrics import Meter
from serving.player import Piece


class Hearing:
    """Passes pieces on to those who listen, each sample once, however often a song is begun.

    Args:
        broadcast: to whom.
        meter: what is measured.
        asked: when the song was asked for, in seconds since 1970.
    """

    def __init__(self, broadcast: Broadcast, meter: Meter, asked: float) -> None:
        self.broadcast = broadcast
        self.frames, self.of = 0, 0
        self._meter, self._asked = meter, asked
        self._samples = self._told = 0

    def again(self) -> None:
        """The song is begun anew."""
        self._samples = 0

    def hear(self, piece: Piece) -> None:
        """Pass a piece on."""
        self._meter.heard(piece.load)
        if piece.frames > self.frames:
            self.frames, self.of = piece.frames, piece.of
            self.broadcast.tell("progress", json.dumps({"frames": piece.frames, "of": piece.of}))
        if not piece.sound:
            return
        count = len(next(iter(piece.sound.values())))
        if not self._told and count:
            self._meter.first_audio(time.time() - self._asked)
        skip = max(0, self._told - self._samples)
        if skip < count:
            for stem, samples in piece.sound.items():
                self.broadcast.tell("audio", Sound(stem, self._samples + skip, piece.rate, samples[skip:]))
        self._samples += count
        self._told = max(self._told, self._samples)
