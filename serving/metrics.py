"""Metrics of the service, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.timings import Stage
from serving.workers.protocol import Load

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_ATTEMPTS = (1, 2, 3, 5, 10, 20)

FORGET_S = 60.0
"""The gauges of a replica that has reported nothing for so long are dropped; it reports while it generates."""


class Meter:
    """Metrics of one ingress: its requests, the jobs that end in it, and what replicas report with their chunks.

    Args:
        now: seconds since any moment.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.registry = CollectorRegistry()
        self._requests = self._counter("stems_requests", "HTTP requests by route and status.", "route", "status")
        self._request_seconds = self._histogram(
            "stems_request_seconds", "Seconds from a request to the start of its response, by route.", "route"
        )
        self._problems = self._counter("stems_problems", "Responses that report a failure, by type.", "type")
        self._shed = self._counter(
            "stems_shed", "Requests refused to keep the service responsive, by reason.", "reason"
        )
        self._jobs = self._counter("stems_jobs", "Jobs that ended, by kind and final state.", "kind", "state")
        self._stages = self._histogram(
            "stems_job_stage_seconds", "Seconds that ended jobs spent in each stage; see docs/SLOW.md.", "stage"
        )
        self._attempts = self._histogram("stems_job_attempts", "Attempts per ended job.", buckets=_ATTEMPTS)
        self._first = self._histogram(
            "stems_first_audio_seconds", "Seconds from a request to the first sound of its song."
        )
        self._speed = self._histogram(
            "stems_times_real_time", "Seconds of music per second of running, for songs that were completed."
        )
        self._queued = self._gauge("stems_jobs_queued", "Jobs that wait for a slot.")
        self._running = self._gauge("stems_jobs_playing", "Jobs that run.")
        self._full = self._gauge("stems_storage_full", "1 while results cannot be stored, else 0.")
        self._slots = self._gauge("stems_slots", "Songs that a replica can generate at once.", "replica")
        self._taken = self._gauge("stems_slots_taken", "Songs that a replica generates now.", "replica")
        self._step = self._gauge("stems_step_seconds", "Smoothed seconds per decoding step of a replica.", "replica")
        self._roofline = self._gauge(
            "stems_roofline_share", "Share of the memory bandwidth that a replica's decoding steps use.", "replica"
        )
        self._reported: dict[str, float] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an HTTP request and the seconds until its response began."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def problem(self, kind: str) -> None:
        """Count a response that reports a failure."""
        self._problems.labels(kind).inc()

    def shed(self, reason: str) -> None:
        """Count a request that was refused to keep the service responsive."""
        self._shed.labels(reason).inc()

    def ended(self, kind: str, state: str, attempts: int, timings: Mapping[Stage, float]) -> None:
        """Count a job that has ended.

        Args:
            kind: the kind of request.
            state: how it ended.
            attempts: how often it was begun.
            timings: seconds of the stages that happened.
        """
        self._jobs.labels(kind, state).inc()
        if attempts:
            self._attempts.observe(attempts)
        for stage, seconds in timings.items():
            self._stages.labels(stage).observe(seconds)

    def finished_song(self, music: float, seconds: float) -> None:
        """Count a completed song: seconds of music, and the seconds that its job ran."""
        self._speed.observe(music / max(seconds, 1e-6))

    def first_audio(self, seconds: float) -> None:
        """Count the seconds until a job's first sound."""
        self._first.observe(seconds)

    def heard(self, load: Load) -> None:
        """Take over how busy a replica is."""
        name = load.replica
        self._reported[name] = self._now()
        self._slots.labels(name).set(load.slots)
        self._taken.labels(name).set(load.running)
        self._step.labels(name).set(load.step)
        self._roofline.labels(name).set(load.roofline / load.step if load.step else 0.0)

    def render(self, queued: int, running: int, full: bool) -> bytes:
        """All metrics in Prometheus' text format."""
        self._full.set(full)
        self._queued.set(queued)
        self._running.set(running)
        self._forget_silent()
        if not running:
            for name in self._reported:
                self._taken.labels(name).set(0)
        return generate_latest(self.registry)

    def _forget_silent(self) -> None:
        for name in [name for name, when in self._reported.items() if self._now() - when > FORGET_S]:
            del self._reported[name]
            for gauge in (self._slots, self._taken, self._step, self._roofline):
                gauge.remove(name)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(name, about, labels, buckets=buckets, registry=self.registry)
