"""Parts of a file for decoders, and the errors of files that hold less than they promise."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import StemsError

TOLERANCE_S = 0.5
"""Seconds by which a header may promise too much: encoders round, and some count their own delay."""


@dataclass(frozen=True)
class FilePart:
    """A piece of a file that one decoder reads to its end; parts follow each other in time.

    Args:
        data: a separate file that the decoder reads correctly; None for the original file.
        samples: counted samples; None where the header is right, 0 where only decoding shows the number.
        tail: samples at the end to which the decoder cannot seek exactly.
    """

    data: bytes | None = None
    samples: int | None = None
    tail: int = 0


AS_IT_IS = (FilePart(),)
"""A file whose header appears correct."""


def truncated(label: str, held: float, promised: float) -> StemsError:
    """The error for a file that holds fewer seconds than its header promises."""
    return breaks_off(label, f"after {held:.1f} s of {promised:.1f} s")


def breaks_off(label: str, where: str) -> StemsError:
    """The error for a file that ends before its audio does; ``where`` describes the place."""
    return StemsError(f"'{label}' breaks off {where}.", "Copy it again, whole.", code="truncated")


def damaged(label: str, what: str) -> StemsError:
    """The error for a file with an unreadable part."""
    return StemsError(f"'{label}' is damaged: {what}.", "Copy or export it again.", code="unreadable")


def uncounted(label: str, seconds: float, more: int, more_seconds: float) -> StemsError:
    """The error for a file with undescribed bytes after its audio that may be audio."""
    return StemsError(
        f"'{label}' lasts {seconds:.1f} s by its header, but {more:,} more bytes follow that the header does not "
        f"describe ({more_seconds:.1f} s, if they are audio).",
        "Export it again.",
        code="unreadable",
    )
