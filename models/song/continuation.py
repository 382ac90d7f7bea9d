"""How a song goes on. Imports no torch: a service checks requests by it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models.errors import StemsError
from models.stems import StemLayout


@dataclass(frozen=True)
class Continuation:
    """What follows a song that is given.

    Args:
        seconds: length of the new part.
        stems: those that go on, while the others are given up to the new end; None for all.
    """

    seconds: float
    stems: Sequence[str] | None = None

    def check(self, layout: StemLayout, given: Collection[str]) -> None:
        """Refuse unknown or missing stems, and a new part without a length."""
        layout.check_names(given, "song")
        layout.check_names(self.stems or (), "regenerate")
        if self.stems is not None and not self.stems:
            raise StemsError("No stem is to go on.", "Name one, or leave the names out for all.", field="regenerate")
        if not 0 < self.seconds < math.inf:  # also refuses NaN
            raise StemsError(
                f"A song cannot go on for {self.seconds:g} seconds.", "Give a number above 0.", field="seconds"
            )
        if missing := [name for name in layout.names if name not in given]:
            raise StemsError(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not given: a song goes on in all stems "
                "of the model.",
                "Give each stem, a silent one where it does not play, or let an edit write it first.",
                field="song",
            )

    def going_on(self, layout: StemLayout) -> tuple[str, ...]:
        """The stems that go on."""
        return layout.names if self.stems is None else tuple(name for name in layout.names if name in self.stems)
