"""How far a job is: a bar a stage, with its rate and the time left, on stderr where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich import progress
from rich.console import Console


class Progress:
    """Bars that appear as stages begin."""

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
        """Begin a stage; call the answer after each song, with its seconds of audio."""
        task = self._bars.add_task(name, total=songs, per_minute=0.0, speed=0.0)
        heard, state = 0.0, next(bar for bar in self._bars.tasks if bar.id == task)

        def advance(seconds: float) -> None:
            nonlocal heard
            heard += seconds
            elapsed = max(state.elapsed or 0.0, 0.1)
            per_minute = (state.completed + 1) / elapsed * 60
            self._bars.update(task, advance=1, per_minute=per_minute, speed=heard / elapsed)

        return advance
