"""The error that a user can fix."""


class StemsError(Exception):
    """Something outside the code is wrong: names the file, field or value at fault, and how to fix it.

    The command line prints it without a traceback; the service turns it into a 4xx answer; a batch job
    writes it, with ``code``, to its quarantine table.

    Args:
        message: the problem, naming the thing.
        hint: how to fix it.
        code: a short machine-readable reason, such as ``unreadable`` or ``too_long``.
        field: the setting or request field at fault, if there is one.
    """

    def __init__(self, message: str, hint: str = "", *, code: str = "invalid", field: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message, self.hint, self.code, self.field = message, hint, code, field

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost when the error travels between processes.
        return _rebuild, (self.message, self.hint, self.code, self.field)


def not_finite(part: str, hint: str = "Export the model again from an earlier checkpoint.") -> StemsError:
    """The error for a part of a model whose numbers overflowed: its output would be noise."""
    return StemsError(
        f"The model's {part} computed numbers that are not finite.",
        hint,
        code="broken_model",
        field="model",
    )


def first_line(error: BaseException) -> str:
    """A library's error as one clause of a sentence: its first line, without a full stop."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)[:300].rstrip(".: ")


def _rebuild(message: str, hint: str, code: str, field: str) -> StemsError:
    return StemsError(message, hint, code=code, field=field)
