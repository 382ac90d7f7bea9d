"""The rules that `stems table verify` checks, and its findings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Rule:
    """One sentence of the contract.

    Args:
        says: the sentence.
        warning: whether a table that breaks the rule is still valid.
    """

    says: str
    warning: bool = False


RULES: dict[str, Rule] = {
    "files": Rule("each data file can be read, and has as many rows as its commit declared"),
    "keys": Rule("each key occurs once in its table, and no part of it is null"),
    "layout": Rule("a song's layout can be read, and its codecs are those of the layout's stems, in order"),
    "shape": Rule("codes have the layout's streams, each as long as the column frames says"),
    "frames": Rule("frames are seconds times frame rate, rounded up, give or take one"),
    "codes": Rule("codes are at least 0 and below the cardinality"),
    "split": Rule("a split is train, valid or sung"),
    "stem_loudness": Rule("a song has one loudness for each stem of its layout"),
    "orphans": Rule("each tokenized song is in the catalog"),
    "stems": Rule("kept stems are there: whole FLAC files, of the row's rate and length"),
    "stray_stems": Rule("each folder of kept stems belongs to a row", warning=True),
    "removed": Rule("nothing is left of a song that was taken down: no tokens, stems or catalog row"),
    "dropped": Rule("a song that was dropped for its vocals neither trains nor validates, by the same separator"),
    "signatures": Rule("a signature has its length, or is empty"),
    "near_duplicates": Rule("songs that nearly sound alike are on one side of the split", warning=True),
    "reasons": Rule("each reason in the quarantine is a known one"),
    "sources": Rule("the file of each song is there, as it was when it was read", warning=True),
}


class Findings:
    """Collects offenders by rule: their number, and the first few of them.

    Args:
        examples: offenders to name for each rule.
        unchecked: rules that are not checked.
    """

    def __init__(self, examples: int, unchecked: Collection[str] = ()) -> None:
        self._examples, self._unchecked = examples, unchecked
        self._counts = dict.fromkeys(RULES, 0)
        self._first: dict[str, list[str]] = {rule: [] for rule in RULES}

    def add(self, rule: str, offenders: Sequence[str]) -> None:
        """Count offenders of a rule."""
        self._counts[rule] += len(offenders)
        room = self._examples - len(self._first[rule])
        self._first[rule] += [str(offender) for offender in offenders[:room]]

    def add_where(self, rule: str, wrong: np.ndarray, names: np.ndarray) -> None:
        """Count the rows that are wrong (bool ``[rows]``), by their names (``[rows]``)."""
        if wrong.any():
            self.add(rule, names[wrong].tolist())

    def report(self, table: str, rows: dict[str, int]) -> VerifyReport:
        """The final report.

        Args:
            table: that was checked.
            rows: how many were, by table.
        """
        results = {
            rule: Result(self._counts[rule], tuple(self._first[rule]))
            for rule in RULES
            if rule not in self._unchecked
        }
        return VerifyReport(table, rows, results)


@dataclass(frozen=True)
class Result:
    """How often a rule is broken, and the first offenders."""

    offenders: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class VerifyReport:
    """Whether a table keeps its contract.

    Args:
        table: its folder.
        rows: number of checked rows, by table.
        results: result of each checked rule, by its id.
    """

    table: str
    rows: dict[str, int]
    results: dict[str, Result]

    @property
    def broken(self) -> tuple[str, ...]:
        """Ids of the broken rules, without warnings."""
        return tuple(rule for rule, result in self.results.items() if result.offenders and not RULES[rule].warning)

    @property
    def exit_code(self) -> int:
        """4 if a rule is broken, 0 otherwise."""
        return 4 if self.broken else 0

    def summary(self) -> Table:
        """Each rule for a terminal."""
        table = Table("rule", "", "it says", title=f"{self.table}: {_counts(self.rows)}")
        for rule, result in self.results.items():
            state = "ok" if not result.offenders else f"{result.offenders} {_kind(rule)}"
            style = None if not result.offenders else ("yellow" if RULES[rule].warning else "red")
            table.add_row(rule, state, RULES[rule].says, style=style)
            for offender in result.first:
                table.add_row("", "", escape(f"  {offender}"), style="dim")
        return table


def _kind(rule: str) -> str:
    return "to look at" if RULES[rule].warning else "wrong"


def _counts(rows: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in rows.items())
