"""Errors of the service that say more than what is wrong."""

from __future__ import annotations

from models.errors import StemsError


class BusyError(StemsError):
    """The same request may succeed ``retry_after`` seconds later."""

    def __init__(self, message: str, hint: str, *, code: str = "busy", retry_after: int = 1) -> None:
        super().__init__(message, hint, code=code)
        self.retry_after = retry_after


class RangeError(StemsError):
    """No byte of what was asked for is in a file of ``size`` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The file has {size} bytes.", "Ask for a part of these, or for the whole.", code="range", field="range"
        )
        self.size = size
