"""A job's progress, rate and time left: bars on a terminal, and lines in its log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich import progress
from rich.console import Console

LINE_S = 30.0
"""Seconds between two lines of a stage."""

log = logging.getLogger(__name__)


@dataclass
class Rate:
    """Progress of one stage, in songs.

    Args:
        name: of the stage.
        songs: number of all songs.
        clock: gives seconds.
    """

    name: str
    songs: int
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    heard: float = 0.0
    began: float = field(init=False)
    said: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.said = self.clock()

    def advance(self, seconds: float) -> None:
        """Count one more song, with its seconds of audio."""
        self.done, self.heard = self.done + 1, self.heard + seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the stage began."""
        return max(self.clock() - self.began, 0.1)

    @property
    def per_minute(self) -> float:
        """Songs per minute."""
        return self.done / self.elapsed * 60

    @property
    def speed(self) -> float:
        """Seconds of audio per second."""
        return self.heard / self.elapsed

    def line(self) -> str:
        """The stage in one line, if one is due (every 30 s, and at the end); empty otherwise."""
        now = self.clock()
        if now - self.said < LINE_S and self.done < self.songs:
            return ""
        self.said = now
        left = (self.songs - self.done) * self.elapsed / max(self.done, 1)
        end = f"{_span(left)} left" if self.done < self.songs else f"done in {_span(self.elapsed)}"
        rate = f"{self.per_minute:.0f} songs/min, {self.speed:.1f} × real time"
        return f"{self.name}: {self.done} of {self.songs} songs, {rate}, {end}"


class Progress:
    """Bars that appear as stages begin, if stderr is a terminal; lines in the log in any case."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = progress.Progress(
            progress.TextColumn("{task.description:>9}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[per_minute]:.0f} songs/min, {task.fields[speed]:.1f} × real time"),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars.start()

    def stop(self) -> None:
        """Leave the bars as they are."""
        self._bars.stop()

    def stage(self, name: str, songs: int) -> Callable[[float], None]:
        """Begin a stage; call the returned function after each song, with its seconds of audio."""
        bar, rate = self._bars.add_task(name, total=songs, per_minute=0.0, speed=0.0), Rate(name, songs)

        def advance(seconds: float) -> None:
            rate.advance(seconds)
            self._bars.update(bar, advance=1, per_minute=rate.per_minute, speed=rate.speed)
            if line := rate.line():
                log.info("%s", line)

        return advance


@contextmanager
def logged(file: Path | None) -> Iterator[None]:
    """Write the job's log lines into a file while the context lasts, and to stderr if no bars are shown.

    Args:
        file: created with its folder at the first line; None writes no file.
    """
    screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    handlers: list[logging.Handler] = [screen, *([_LateFile(file)] if file else [])]
    loggers = [logging.getLogger(name) for name in ("pipelines", "cluster")]
    levels = [each.level for each in loggers]
    rays_own = logging.getLogger("cluster.ray")  # long output that belongs in a file, not on a screen
    rays_own.setLevel(logging.DEBUG if file else logging.NOTSET)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        for each in loggers:
            each.addHandler(handler)
            each.setLevel(min(each.level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        rays_own.setLevel(logging.NOTSET)
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
            for handler in handlers:
                each.removeHandler(handler)
        for handler in handlers:
            handler.close()


class _LateFile(logging.FileHandler):
    """A log file whose folder is created with its first line. An error in writing it does not end the job."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, delay=True, encoding="utf-8")
        self._lost = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._lost:
            return
        try:
            super().emit(record)
        except OSError as error:
            self._give_up(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        self._give_up(sys.exc_info()[1])

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: BaseException | None) -> None:
        if not self._lost:
            self._lost = True
            log.warning("The log '%s' cannot be written: %s.", self.baseFilename, error)

    def _open(self):  # type: ignore[no-untyped-def]
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def _span(seconds: float) -> str:
    """``75.0`` -> ``1 min 15 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
