"""When so many of a catalog's files are bad that a job ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import StemsError
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED

_ENOUGH_FILES = 20
"""Files after which a share of bad ones stops a run before its end."""


@dataclass(frozen=True)
class ErrorRate:
    """The share of bad files that a job accepts. Duplicates and files of removed songs are not bad.

    Args:
        most: from 0 to 1.
    """

    most: float

    def check_so_far(self, good: int, reasons: Mapping[str, int]) -> None:
        """Refuse a run that has met enough files, and too many bad ones.

        Args:
            good: songs so far.
            reasons: number of files set aside so far, by reason.

        Raises:
            StemsError: ``too_many_errors``.
        """
        bad = _bad_files(reasons)
        if good + bad >= _ENOUGH_FILES and bad > self.most * (good + bad):
            raise self._error(bad, good + bad)

    def check_all(self, files: int, reasons: Mapping[str, int], first: str) -> None:
        """Refuse a whole catalog of which too many files are bad, or all of them, however few they are.

        Args:
            files: of the catalog, without those of removed songs.
            reasons: number of files set aside, by reason.
            first: what is wrong with the first bad file; empty if unknown.

        Raises:
            StemsError: ``too_many_errors``.
        """
        bad = _bad_files(reasons)
        if bad > self.most * files or (bad and bad == files):
            raise self._error(bad, files, first)

    def _error(self, bad: int, files: int, first: str = "") -> StemsError:
        too_many = f"more than {self.most:.0%}." if bad > self.most * files else "not one is a song."
        return StemsError(
            f"{bad} of {files} files are in quarantine or out of reach: {too_many}"
            + (f" The first: {first}" if first else ""),
            "`stems table info` counts the reasons. Finished songs are in the table"
            + ("; raise max_error_rate to accept more." if bad < files else "."),
            code="too_many_errors",
            field="max_error_rate",
        )


def _bad_files(reasons: Mapping[str, int]) -> int:
    return sum(count for reason, count in reasons.items() if reason not in (DUPLICATE, REMOVED))
