"""Problems of a catalog, collected during reading and reported together."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.errors import StemsError


@dataclass(frozen=True)
class CatalogProblem:
    """One problem.

    Args:
        place: the file, or file and line.
        what: a sentence on the problem.
        hint: how to fix it.
        fatal: the catalog cannot be used until it is corrected; otherwise the rest of it can.
        code, field: as of a StemsError.
    """

    place: str
    what: str
    hint: str
    fatal: bool = False
    code: str = "invalid"
    field: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" if self.place else self.what


@dataclass
class Problems:
    """Problems in the order in which they were found."""

    found: list[CatalogProblem] = field(default_factory=list)

    def note(self, place: str, what: str, hint: str) -> None:
        """Add a problem that does not prevent the use of the catalog."""
        self.found.append(CatalogProblem(place, what, hint))

    def bad_line(self, place: str, what: str, hint: str) -> None:
        """A line that cannot be understood: fatal."""
        self.found.append(
            CatalogProblem(place, f"the line {what}.", hint, fatal=True, code="bad_line", field="manifest")
        )

    def fatal(self, error: StemsError) -> None:
        """An error that ended the reading."""
        self.found.append(
            CatalogProblem("", error.message, error.hint, fatal=True, code=error.code, field=error.field)
        )

    @property
    def any_fatal(self) -> bool:
        """Whether something must be corrected first."""
        return any(problem.fatal for problem in self.found)

    def raise_fatal(self) -> None:
        """StemsError for the first fatal problem, saying how many more there are; nothing where there is none."""
        fatal = [problem for problem in self.found if problem.fatal]
        if not fatal:
            return
        first = fatal[0]
        more = f" `stems catalog --dry-run` lists {len(fatal) - 1} more." if len(fatal) > 1 else ""
        raise StemsError(str(first), f"{first.hint}{more}", code=first.code, field=first.field)
