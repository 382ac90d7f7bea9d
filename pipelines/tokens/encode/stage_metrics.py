"""What Prometheus sees of a running job: songs, audio and time by stage, as metrics of the Ray cluster."""

from __future__ import annotations

from ray.util.metrics import Counter, Histogram

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Upper bounds of the buckets of time."""


class StageMetrics:
    """Counts what a worker does; every node of the cluster exports its workers' sums, as ``ray_<name>``.

    Outside a Ray worker the counts go nowhere.
    """

    def __init__(self) -> None:
        self._songs = Counter("stems_prepare_songs_total", "Songs that went through a stage.", ("stage", "outcome"))
        self._audio = Counter("stems_prepare_audio_seconds_total", "Their seconds of audio.", ("stage",))
        self._took = Histogram("stems_prepare_seconds", "Seconds that a song took.", list(SECONDS), ("stage",))

    def add(self, stage: str, outcome: str, audio_seconds: float, took: float) -> None:
        """Count one song.

        Args:
            stage: as in :class:`pipelines.tokens.run.report.StageFacts`.
            outcome: "ok", or the reason why the song went no further; few different ones, as each is a series.
            audio_seconds: its length; 0 where nobody knows.
            took: seconds of this stage.
        """
        self._songs.inc(1, {"stage": stage, "outcome": outcome})
        if audio_seconds > 0:  # a counter takes no zero
            self._audio.inc(audio_seconds, {"stage": stage})
        self._took.observe(took, {"stage": stage})
