"""Where results and help are printed."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the command line, where rich would end the process as if there were an error."""
        raise


def console() -> Console:
    """Standard output, at the terminal's width; without colours where there is none, or NO_COLOR is set."""
    return _Console()
