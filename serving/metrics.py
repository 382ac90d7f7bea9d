"""What the service measures of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.workers.protocol import Load

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


class Meter:
    """Counters of one ingress. Jobs are counted where they are played, steps as the players tell of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("stems_requests", "HTTP requests by route and status", "route", "status")
        self._request_seconds = self._histogram("stems_request_seconds", "until an answer began, by route", "route")
        self._problems = self._counter("stems_problems", "answers that tell of a failure, by kind", "type")
        self._shed = self._counter("stems_shed", "requests refused to keep others fast, by reason", "reason")
        self._jobs = self._counter("stems_jobs", "jobs that ended, by kind and how", "kind", "state")
        self._first = self._histogram("stems_first_audio_seconds", "from a request to its first second of sound")
        self._speed = self._histogram("stems_times_real_time", "seconds of music a second of playing")
        self._queued = self._gauge("stems_jobs_queued", "jobs that wait for a slot")
        self._playing = self._gauge("stems_jobs_playing", "jobs that are being played")
        self._slots = self._gauge("stems_slots", "slots of the player heard of last")
        self._taken = self._gauge("stems_slots_taken", "slots of it that were taken")
        self._full = self._gauge("stems_storage_full", "1 while results cannot be stored, else 0")
        self._step = self._gauge("stems_step_seconds", "its time a decoding step, smoothed")
        self._roofline = self._gauge("stems_roofline_share", "share of memory bandwidth that a step makes use of")

    def answered(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def problem(self, kind: str) -> None:
        """An answer told of a failure."""
        self._problems.labels(kind).inc()

    def shed(self, reason: str) -> None:
        """A request was refused to keep others fast."""
        self._shed.labels(reason).inc()

    def ended(self, kind: str, state: str) -> None:
        """A job has ended."""
        self._jobs.labels(kind, state).inc()

    def played(self, music: float, seconds: float) -> None:
        """So many seconds of music were played in so many."""
        self._speed.observe(music / max(seconds, 1e-6))

    def first_audio(self, seconds: float) -> None:
        """A job's first sound was there."""
        self._first.observe(seconds)

    def heard(self, load: Load) -> None:
        """A player told how busy it is."""
        self._slots.set(load.slots)
        self._taken.set(load.running)
        self._step.set(load.step)
        self._roofline.set(load.roofline / load.step if load.step else 0.0)

    def render(self, queued: int, playing: int, full: bool) -> bytes:
        """All of it, as Prometheus reads it."""
        self._full.set(full)
        self._queued.set(queued)
        self._playing.set(playing)
        if not playing:
            self._taken.set(0)
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, buckets=_SECONDS, registry=self.registry)
