"""Display of a training run: a progress bar while it runs, a table at the end."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipelines.training.tracking.history import Row, latest


class StepBar:
    """A progress bar on stderr with the newest loss; silent where stderr is not a terminal."""

    def __init__(self, name: str, steps: int, done: int, *, shown: bool) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not (shown and console.is_terminal),
        )
        self._task = self._progress.add_task(name, total=steps, completed=done, note="")

    def __enter__(self) -> StepBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def at(self, step: int, loss: float | None = None) -> None:
        """Show that ``step`` steps are done."""
        note = {} if loss is None else {"note": f"loss {loss:.3f}"}
        self._progress.update(self._task, completed=step, **note)  # type: ignore[arg-type]


def summary_table(title: str, history: list[Row]) -> Table:
    """The metrics of a run at its first validation and at its end."""
    first, last = latest([row for row in history if row["step"] == 0]), latest(history)
    table = Table("metric", "before", "after", title=title)
    for name in last:
        if name.startswith("valid/") or name == "loss":
            before = f"{first[name]:.4g}" if name in first else ""
            table.add_row(name.removeprefix("valid/"), before, f"{last[name]:.4g}")
    return table
