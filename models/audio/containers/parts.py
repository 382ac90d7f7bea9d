"""What is handed to a decoder, and what it has to give back."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import StemsError

TOLERANCE_S = 0.5
"""Seconds by which a header may promise more than there is: encoders round, and some count their own delay."""


@dataclass(frozen=True)
class FilePart:
    """A piece of a file that one decoder reads to its end; parts follow each other in time.

    Args:
        data: a file of its own in a form that the decoder believes; None for the file as it is.
        samples: that it holds, by count; None where its header can be believed, 0 where only decoding tells.
        tail: samples at its end at which the decoder loses its place where it is sent there.
    """

    data: bytes | None = None
    samples: int | None = None
    tail: int = 0


AS_IT_IS = (FilePart(),)
"""A file in whose header nothing is wrong, as far as can be seen."""


def truncated(label: str, held: float, promised: float) -> StemsError:
    """The error of a file that holds fewer seconds than its header promises."""
    return breaks_off(label, f"after {held:.1f} s of {promised:.1f} s")


def breaks_off(label: str, where: str) -> StemsError:
    """The error of a file that ends before its audio does, with words on where."""
    return StemsError(f"'{label}' breaks off {where}.", "Copy it again, whole.", code="truncated")


def damaged(label: str, what: str) -> StemsError:
    """The error of a file of which a part cannot be read."""
    return StemsError(f"'{label}' is damaged: {what}.", "Copy or export it again.", code="unreadable")


def uncounted(label: str, seconds: float, more: int, more_seconds: float) -> StemsError:
    """The error of a file with bytes behind its audio that may be audio, or may not."""
    return StemsError(
        f"'{label}' lasts {seconds:.1f} s by its header, and {more:,} bytes follow that it does not describe "
        f"({more_seconds:.1f} s, if they are audio).",
        "Export it again.",
        code="unreadable",
    )
