"""Workers are planned node by node: whatever Ray does with them, actors run and are fed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.nodes import NodeShape, shapes
from cluster.placement import places, room
from models.errors import StemsError
from pipelines.tokens.config import TableJob
from pipelines.tokens.run.workers import Workers, pack, plan_workers

GB = 1e9


def job(**settings: Any) -> TableJob:
    return TableJob(table="t", codecs="c", **settings)


def nodes(
    count: int, cpus: float, gpus: float = 0, memory: float = 64 * GB, **custom: float
) -> list[dict[str, float]]:
    return [{"CPU": cpus, "GPU": gpus, "memory": memory, "object_store_memory": GB, **custom}] * count


CLUSTERS: dict[str, tuple[list[dict[str, float]], dict[str, Any]]] = {
    "1x1": (nodes(1, 1), {}),
    "1x2": (nodes(1, 2), {}),
    "1x64": (nodes(1, 64), {}),
    "3x2": (nodes(3, 2), {}),
    "2x3": (nodes(2, 3), {}),
    "4x8": (nodes(4, 8), {}),
    "2x16": (nodes(2, 16), {}),
    "8x(16 CPU, 1 GPU)": (nodes(8, 16, 1), {"gpus_per_actor": 1}),
    "2x(96 CPU, 8 GPU)": (nodes(2, 96, 8), {"gpus_per_actor": 1}),
    "2x(96 CPU, 8 GPU), half a GPU each": (nodes(2, 96, 8), {"gpus_per_actor": 0.5}),
    "CPU head with GPU workers": (nodes(1, 8) + nodes(2, 4, 1), {"gpus_per_actor": 1}),
    "GPU nodes of few CPUs": (nodes(2, 2, 4), {"gpus_per_actor": 1}),
    "unequal": (nodes(1, 2) + nodes(1, 16) + nodes(1, 3), {}),
    "a tiny node beside a large one": (nodes(1, 1) + nodes(1, 8), {}),
    "head of 0 CPUs": (nodes(1, 0) + nodes(3, 2), {}),
    "little memory": (nodes(2, 8, memory=3 * GB), {}),
    "custom resource": (nodes(1, 8) + nodes(2, 8, highmem=2), {"resources_per_actor": {"highmem": 1}}),
}


def packed_by_ray(workers: Workers, found: Sequence[Mapping[str, float]]) -> tuple[list[int], list[int]]:
    """Actors and tasks on each node where Ray puts actors wherever they fit, first node first, up to all of them."""
    left = workers.actors
    actors, tasks = [], []
    for node in found:
        here = int(min(left, room(node, workers.actor)))
        left -= here
        rest = {name: amount - here * workers.actor.get(name, 0) for name, amount in node.items()}
        actors.append(here)
        tasks.append(int(room(rest, workers.read)))
    assert left == 0, "every actor has a place"
    return actors, tasks


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_stage_has_a_place_while_all_others_run_and_little_is_idle(name: str) -> None:
    found, settings = CLUSTERS[name]
    workers = plan_workers(job(**settings), 240.0, shapes(found))
    actors, tasks = packed_by_ray(workers, found)
    assert sum(actors) == workers.actors >= 1
    if not workers.custom:
        assert all(task for actor, task in zip(actors, tasks, strict=True) if actor), "fed on its own node"
    assert sum(tasks) >= 1
    scarce = "GPU" if workers.gpus else next(iter(workers.custom), "CPU")
    has = sum(node.get(scarce, 0) for node in found)
    if name == "little memory":
        scarce, has = "memory", sum(node["memory"] for node in found)
    used = sum(actors) * workers.actor[scarce] + sum(tasks) * workers.read.get(scarce, 0)
    assert used >= 0.85 * has


@given(
    st.lists(
        st.tuples(st.integers(0, 96), st.integers(1, 4), st.floats(2 * GB, 500 * GB)), min_size=1, max_size=5
    ).filter(lambda found: any(cpus for cpus, _, _ in found)),
    st.floats(1, 3600),
    st.integers(1, 8),
)
def test_any_cluster_of_cpus_gets_workers_that_are_fed(
    found: list[tuple[int, int, float]], longest: float, threads: int
) -> None:
    all_nodes = [node for cpus, count, memory in found for node in nodes(count, cpus, memory=memory)]
    workers = plan_workers(job(threads=threads), longest, shapes(all_nodes))
    _, tasks = packed_by_ray(workers, all_nodes)
    assert sum(tasks) >= 1
    assert workers.cpus <= threads


def test_the_defaults_compute_with_the_same_threads_on_every_cluster() -> None:
    planned = {
        plan_workers(job(), 60.0, shapes(found)).threads for found, settings in CLUSTERS.values() if not settings
    }
    assert planned == {2}


def test_actors_asked_for_by_number_are_made_to_fit() -> None:
    four = plan_workers(job(actors=4), 60.0, shapes(nodes(3, 2)))
    assert (four.actors, four.most) == (4, 4)
    packed_by_ray(four, nodes(3, 2))
    one = plan_workers(job(actors=1), 60.0, shapes(nodes(1, 64)))
    assert (one.actors, one.cpus) == (1, 1.98)


@pytest.mark.parametrize(
    ("found", "settings", "said", "field"),
    [
        (
            nodes(1, 2),
            {"gpus_per_actor": 1},
            "1 GPUs, and no node has that: the largest has 2 CPUs",
            "gpus_per_actor",
        ),
        (nodes(3, 2, 1), {"gpus_per_actor": 2}, "no node has that: the largest has 2 CPUs, 1 GPUs", "gpus_per_actor"),
        (nodes(1, 2), {"actors": 9}, "room for 2 of 9 actors", "actors"),
        (nodes(2, 8), {"resources_per_actor": {"highmem": 1}}, "1 highmem, and no node", "resources_per_actor"),
        (nodes(2, 0), {}, "the largest has nothing", "actors"),
        ([], {}, "there are no nodes", "actors"),
    ],
)
def test_what_can_never_be_placed_is_refused(
    found: list[dict[str, float]], settings: dict[str, Any], said: str, field: str
) -> None:
    with pytest.raises(StemsError) as error:
        plan_workers(job(**settings), 60.0, shapes(found))
    assert said in error.value.message
    assert error.value.code == "unplaceable"
    assert error.value.field == field
    assert field in error.value.hint


def test_a_cluster_that_autoscales_is_planned_from_its_node_types() -> None:
    types = [({"CPU": 0, "memory": GB}, 1), ({"CPU": 8, "GPU": 1, "memory": 64 * GB}, 10)]
    empty = shapes([{"CPU": 0, "memory": GB}], types)
    workers = plan_workers(job(gpus_per_actor=1), 60.0, empty)
    assert (workers.actors, workers.most) == (1, 10), "one wakes the autoscaler, the pool may grow to all"
    three = plan_workers(job(gpus_per_actor=1), 60.0, shapes([{"CPU": 0}, *nodes(3, 8, 1)], types))
    assert (three.actors, three.most) == (3, 10)
    assert plan_workers(job(gpus_per_actor=1, actors=9), 60.0, empty).actors == 9, "what it can start is not refused"
    with pytest.raises(StemsError, match="room for 10 of 11"):
        plan_workers(job(gpus_per_actor=1, actors=11), 60.0, empty)


def test_nodes_without_a_limit_can_hold_any_number() -> None:
    endless = shapes([{"CPU": 0}], [({"CPU": 4, "memory": 16 * GB}, -1)])
    assert places(endless, {"CPU": 4}, ever=True) == math.inf
    assert plan_workers(job(actors=200), 60.0, endless).actors == 200


def test_nodes_that_come_by_hand_are_used() -> None:
    assert plan_workers(job(), 60.0, shapes(nodes(3, 2))).most > 3


def test_long_songs_get_fewer_actors_rather_than_none() -> None:
    small = shapes(nodes(1, 16, memory=16 * GB))
    short, long, endless = (plan_workers(job(), seconds, small).actors for seconds in (30.0, 900.0, 36_000.0))
    assert short > long > endless == 1


def test_rays_own_marks_of_nodes_are_no_resources() -> None:
    found = shapes([{"CPU": 2.0, "node:1.2.3.4": 1.0, "object_store_memory": 5.0}, {"CPU": 2.0, "node:1.2.3.5": 1.0}])
    assert found == (NodeShape({"CPU": 2.0}, 2),)
    packing = pack(plan_workers(job(), 60.0, found), found)
    assert (packing.actors, packing.starving) == (2, 0)
