"""One demo on disk: its folder, its steps, and how long each took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from models.files.output_folder import check_folder
from models.files.output_listing import is_working, mark_working
from pipelines.demo.config import DemoConfig

T = TypeVar("T")


class DemoRun:
    """One demo: its folder, its console, and the seconds that each step took."""

    def __init__(self, config: DemoConfig) -> None:
        self.config, self.folder = config, check_folder(config.output, ours=holds_demo)
        mark_working(self.folder)
        self.console = Console(stderr=True)
        self.seconds: dict[str, float] = {}

    @property
    def tracking(self) -> str:
        """Where the trainings of this demo are tracked."""
        return f"sqlite:///{self.folder}/mlflow.db"

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do one step, say how long it took, and remember it beside earlier runs' time for it."""
        self.console.print(f"[bold]{name}[/bold] …")
        began = time.perf_counter()
        result = work()
        spent = time.perf_counter() - began
        self.console.print(f"  {spent:.0f} s")
        self.seconds[name] = self._remember(name, spent)
        return result

    def _remember(self, name: str, spent: float) -> float:
        """Add up the time that a step took over the runs of a demo that was stopped in between."""
        file = self.folder / "seconds.json"
        known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        known[name] = known.get(name, 0.0) + spent
        partial = file.with_name(".seconds.json.partial")
        partial.write_text(json.dumps(known), encoding="utf-8")
        partial.replace(file)
        return known[name]


def holds_demo(folder: Path) -> bool:
    """Whether a folder is marked, or is of a release before the mark."""
    return is_working(folder) or ((folder / "seconds.json").is_file() and (folder / "band").is_dir())
