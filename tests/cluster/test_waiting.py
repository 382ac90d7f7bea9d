"""What waits for room says so: within 30 s, then every minute, and no longer than it waits."""

from __future__ import annotations

from cluster.waiting import ClusterState, Demand, Waiting, Want
from cluster.watch import NodeLog

ACTOR = {"CPU": 1.5, "GPU": 0.0, "memory": 1e9}
WAITS = ClusterState([Demand({"CPU": 1.5, "memory": 1e9}, 2), Demand({"CPU": 7.0}, 1)], [{"CPU": 0.2, "memory": 8e9}])
RUNS = ClusterState([Demand({"CPU": 7.0}, 1)], [{"CPU": 2.0, "memory": 8e9}])


def said(states: list[ClusterState], step: float = 5.0) -> list[tuple[float, str]]:
    now = 0.0
    waiting = Waiting({"an actor": Want(ACTOR)}, clock=lambda: now)
    lines = []
    for state in states:
        lines += [(now, line) for line in waiting.look(state)]
        now += step
    return lines


def test_what_waits_is_said_within_30_s_and_every_minute() -> None:
    times = [now for now, _ in said([WAITS] * 40)]
    assert times == [20.0, 80.0, 140.0]


def test_the_line_names_what_waits_and_for_what() -> None:
    [(_, line)] = said([WAITS] * 6)
    assert line == (
        "waiting for room: 2 × an actor (1.5 CPUs, 1.0 GB of memory); the node with the most room has 0.2 CPUs free "
        "(`ray status` shows who holds the rest)."
    )


def test_others_demands_are_not_ours() -> None:
    assert said([RUNS] * 40) == []


def test_a_wait_that_ends_begins_anew_with_the_next() -> None:
    assert said([*[WAITS] * 3, RUNS, *[WAITS] * 3]) == []
    assert [now for now, _ in said([*[WAITS] * 5, RUNS, *[WAITS] * 5])] == [20.0, 50.0]


def test_a_node_without_any_says_none() -> None:
    [(_, line)] = said([ClusterState(WAITS.pending, [{}])] * 5)
    assert "has 0 CPUs, 0.0 GB of memory free" in line


def test_what_has_as_many_as_planned_does_not_wait() -> None:
    now = 0.0
    waiting = Waiting({"an actor": Want(ACTOR, served=lambda: True)}, clock=lambda: now)
    lines = []
    for _ in range(40):
        lines += waiting.look(WAITS)
        now += 5
    assert lines == []


def test_a_lost_node_is_one_line() -> None:
    nodes = NodeLog({"a": "10.0.0.1", "b": "10.0.0.2"})
    assert nodes.look({"a": "10.0.0.1", "b": "10.0.0.2"}) == []
    assert nodes.look({"a": "10.0.0.1"}) == ["lost node 10.0.0.2; its work runs again on the others."]
    assert nodes.look({"a": "10.0.0.1", "c": "10.0.0.3"}) == ["node 10.0.0.3 joined."]
