"""Rounds: what is lost runs again, what is lost alone is given up, and no result comes twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from models.errors import StemsError
from pipelines.tokens.stream import ALONE, run_rounds

LINES = {f"k{n}": f"line {n}" for n in range(9)}
KEYS = {line: key for key, line in LINES.items()}


@given(crashers=st.sets(st.sampled_from(sorted(LINES))), killed=st.lists(st.integers(0, 8), max_size=3))
def test_only_what_crashes_by_itself_is_given_up(crashers: set[str], killed: list[int]) -> None:
    blocks: list[list[str]] = []

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        victim = killed.pop() if killed else -1  # one block of this round dies through no fault of its own
        for number, start in enumerate(range(0, len(lines), block)):
            keys = [KEYS[line] for line in lines[start : start + block]]
            blocks.append(keys)
            if number != victim and not crashers & set(keys):
                yield from ((key, LINES[key]) for key in keys)

    if len(crashers) == len(LINES):
        with pytest.raises(StemsError, match="finished none of 9 files"):
            list(run_rounds(LINES, stream, 4))
        return
    results = list(run_rounds(LINES, stream, 4))
    assert len(results) == len(dict(results))
    assert set(LINES) - set(dict(results)) >= crashers
    if len(blocks) == 3:  # one round was enough
        assert not crashers
    for key in crashers:
        assert sum(keys == [key] for keys in blocks) >= ALONE


def test_a_line_that_is_killed_once_is_done_in_the_next_round() -> None:
    rounds: list[int] = []

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, int]]:
        rounds.append(block)
        lost = 1 if len(rounds) < 3 else 0
        yield from ((KEYS[line], len(rounds)) for line in lines[lost:])

    results = dict(run_rounds(LINES, stream, 4))
    assert set(results) == set(LINES)
    assert rounds == [4, 1, 1]


def test_what_a_lost_node_takes_along_is_never_given_up() -> None:
    losses = iter([True] * (2 * ALONE) + [False] * 99)

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, int]]:
        stream.rounds += 1  # type: ignore[attr-defined]
        if stream.rounds > 2 * ALONE:  # type: ignore[attr-defined]
            yield from ((KEYS[line], 0) for line in lines)

    stream.rounds = 0  # type: ignore[attr-defined]
    results = list(run_rounds(LINES, stream, 1, nullcontext(lambda: next(losses))))
    assert [key for key, _ in results] == list(LINES)


def test_a_stream_that_breaks_goes_on_with_what_is_left() -> None:
    asked: list[list[str]] = []

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        asked.append(lines)
        yield KEYS[lines[0]], lines[0]
        if len(lines) > 1:
            raise ray.exceptions.RayActorError

    results = list(run_rounds(LINES, stream, 4))
    assert [key for key, _ in results] == list(LINES)
    assert len(asked) == len(LINES)


def test_a_cluster_that_does_nothing_but_break_is_given_up_and_our_own_errors_are_raised() -> None:
    def broken(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        raise ray.exceptions.RayActorError
        yield

    def wrong(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        raise ZeroDivisionError
        yield

    with pytest.raises(StemsError, match="lost the job 8 times"):
        list(run_rounds(LINES, broken, 4))
    with pytest.raises(ZeroDivisionError):
        list(run_rounds(LINES, wrong, 4))
