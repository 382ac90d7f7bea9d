"""Rounds: what is lost runs again, what is lost alone is given up, and no result comes twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from models.errors import StemsError
from pipelines.tokens.run.lost_blocks import Loss, is_its_own
from pipelines.tokens.run.ray_data import ISOLATED_TRIES, run_with_retries
from pipelines.tokens.songs.work import PROBE

LINES = {f"k{n}": f"line {n}" for n in range(9)}
KEYS = {line: key for key, line in LINES.items()} | {PROBE: PROBE}
DIED, REFUSED = Loss(True, "WorkerCrashedError"), Loss(False, "OwnerDiedError, its owner has died")


class Cluster:
    """Does lines in blocks; some lines crash their worker, some blocks die beside them, and all of it may be gone.

    Args:
        crashers: keys of lines that crash their worker.
        killed: for each stream, the number of a block that is killed.
        alive: whether streams do anything; else every block is refused.
    """

    def __init__(self, crashers: set[str], killed: list[int], alive: bool = True) -> None:
        self.crashers, self.killed, self.alive = crashers, killed, alive
        self.blocks: list[list[str]] = []
        self._losses: list[Loss] = []

    @contextmanager
    def watching(self) -> Iterator[list[Loss]]:
        self._losses = []
        yield self._losses

    def stream(self, lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        victim = self.killed.pop() if self.killed else -1
        for number, start in enumerate(range(0, len(lines), block)):
            keys = [KEYS[line] for line in lines[start : start + block]]
            self.blocks.append(keys)
            if not self.alive:
                self._losses.append(REFUSED)
            elif number == victim or self.crashers & set(keys):
                self._losses.append(DIED)
            else:
                yield from ((key, key) for key in keys)

    def run(self, lines: dict[str, str] = LINES, block: int = 4) -> list[str]:
        return [key for key, _ in run_with_retries(lines, self.stream, block, watching=self.watching)]


@given(crashers=st.sets(st.sampled_from(sorted(LINES))), killed=st.lists(st.integers(0, 8), max_size=3))
def test_only_what_crashes_by_itself_is_given_up(crashers: set[str], killed: list[int]) -> None:
    cluster = Cluster(crashers, killed)
    if len(crashers) == len(LINES):
        with pytest.raises(StemsError, match="finished none of 9 files"):
            cluster.run()
        return
    results = cluster.run()
    assert len(results) == len(set(results))
    assert set(LINES) - set(results) == crashers
    if len(cluster.blocks) == 3:  # one round was enough
        assert not crashers
    for key in crashers:
        assert sum(keys == [key] for keys in cluster.blocks) >= ISOLATED_TRIES


@pytest.mark.parametrize("count", [1, 2, 7, 9])
def test_a_cluster_that_refuses_all_work_blames_no_line(count: int) -> None:
    cluster = Cluster(set(), [], alive=False)
    with pytest.raises(StemsError, match="does no work: OwnerDiedError, its owner has died") as error:
        cluster.run(dict(list(LINES.items())[:count]))
    assert error.value.code == "cluster"


def test_a_line_that_waited_behind_one_that_crashes_is_not_given_up() -> None:
    cluster = Cluster({"k0"}, [])
    original = cluster.stream

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        yield from original(lines, 2 if len(lines) == 2 else block)  # what waits for a worker that dies goes with it

    cluster.stream = stream  # type: ignore[method-assign]
    assert cluster.run({"k0": LINES["k0"], "k1": LINES["k1"]}) == ["k1"]


@pytest.mark.parametrize("losses", [[], [REFUSED], [DIED, REFUSED]])
def test_without_evidence_against_a_line_it_is_the_cluster(losses: list[Loss]) -> None:
    def stream(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        yield from ((KEYS[line], line) for line in lines if line != LINES["k1"])

    with pytest.raises(StemsError, match="could not work on 1 files"):
        list(run_with_retries(LINES, stream, 4, watching=lambda: nullcontext(list(losses))))


def test_a_cluster_that_goes_away_in_the_end_blames_no_line() -> None:
    cluster = Cluster({"k1"}, [])
    original = cluster.stream

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        cluster.alive = lines != [PROBE]
        yield from original(lines, block)

    cluster.stream = stream  # type: ignore[method-assign]
    with pytest.raises(StemsError) as error:
        cluster.run()
    assert error.value.code == "cluster"


def test_a_line_that_is_killed_once_is_done_in_the_next_round() -> None:
    rounds: list[int] = []

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, int]]:
        rounds.append(block)
        lost = 1 if len(rounds) < 3 else 0
        yield from ((KEYS[line], len(rounds)) for line in lines[lost:])

    results = dict(run_with_retries(LINES, stream, 4))
    assert set(results) == set(LINES)
    assert rounds == [4, 1, 1, 1]  # together; alone; a probe, since nothing came; alone


def test_what_a_lost_node_takes_along_is_never_given_up() -> None:
    losses = iter([True] * (2 * ISOLATED_TRIES) + [False] * 99)

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, int]]:
        stream.rounds += 1  # type: ignore[attr-defined]
        if stream.rounds > 2 * ISOLATED_TRIES:  # type: ignore[attr-defined]
            yield from ((KEYS[line], 0) for line in lines)

    stream.rounds = 0  # type: ignore[attr-defined]
    results = list(run_with_retries(LINES, stream, 1, nullcontext(lambda: next(losses))))
    assert [key for key, _ in results] == list(LINES)


def test_a_stream_that_breaks_goes_on_with_what_is_left() -> None:
    asked: list[list[str]] = []

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, str]]:
        asked.append(lines)
        yield KEYS[lines[0]], lines[0]
        if len(lines) > 1:
            raise ray.exceptions.RayActorError

    results = list(run_with_retries(LINES, stream, 4))
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
        list(run_with_retries(LINES, broken, 4))
    with pytest.raises(ZeroDivisionError):
        list(run_with_retries(LINES, wrong, 4))


def test_what_ray_says_of_a_lost_block_tells_whose_fault_it_is() -> None:
    ray_errors = ray.exceptions
    for own in (ray_errors.WorkerCrashedError(), ray_errors.OutOfMemoryError(""), ray_errors.ActorDiedError()):
        assert is_its_own(own)
    full = OSError(28, "No space left on device")
    unborn = ray_errors.RayActorError(actor_init_failed=True)
    no_room = (
        ray_errors.OutOfDiskError(""),
        ray_errors.ObjectStoreFullError(""),
        ray_errors.RayTaskError("f", "", full),
    )
    for other in (*no_room, unborn, ray_errors.RaySystemError(""), ray_errors.AuthenticationError("")):
        assert not is_its_own(other)
