"""Data made ready in a thread."""

from __future__ import annotations

import pytest

from pipelines.training.data.prefetch import Ahead


def test_what_is_made_ahead_is_what_would_have_been_made() -> None:
    def make(number: int) -> int:
        made.append(number)
        if number == 3:
            raise ValueError("three")
        return number * number

    made: list[int] = []
    ahead = Ahead(make)
    assert [ahead.take(number, number + 1) for number in (0, 1)] == [0, 1]
    assert ahead.take(7, 3) == 49  # not what was begun
    with pytest.raises(ValueError, match="three"):
        ahead.take(3, 4)
    assert sorted(made) == [0, 1, 2, 3, 7]  # each once
