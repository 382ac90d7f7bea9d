"""A running job in Prometheus: songs, audio and time by stage, as metrics of the Ray cluster."""

from __future__ import annotations

from ray.util.metrics import Counter, Histogram

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Upper bounds of the histogram's buckets, in seconds."""


class StageMetrics:
    """Counts a worker's work; every node of the cluster exports its workers' sums as ``ray_<name>``.

    Outside a Ray worker the counts are dropped.
    """

    def __init__(self) -> None:
        self._songs = Counter("stems_prepare_songs_total", "Songs that went through a stage.", ("stage", "outcome"))
        self._audio = Counter(
            "stems_prepare_audio_seconds_total", "Seconds of audio that went through a stage.", ("stage",)
        )
        self._took = Histogram("stems_prepare_seconds", "Seconds per song in a stage.", list(SECONDS), ("stage",))

    def add(self, stage: str, outcome: str, audio_seconds: float, took: float) -> None:
        """Count one song.

        Args:
            stage: as in :class:`pipelines.tokens.run.report.StageFacts`.
            outcome: "ok", or the reason why the song went no further; few different ones, as each is a time series.
            audio_seconds: its length; 0 if unknown.
            took: seconds in this stage.
        """
        self._songs.inc(1, {"stage": stage, "outcome": outcome})
        if audio_seconds > 0:  # a counter takes no zero
            self._audio.inc(audio_seconds, {"stage": stage})
        self._took.observe(took, {"stage": stage})
