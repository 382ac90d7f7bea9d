"""A Ray Serve that others use, too: which names and paths are free, and where it answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.nodes import shapes
from models.errors import StemsError
from serving.cluster_room import check_room, choose_gpus, waiting_line
from serving.config import ServeConfig, parse_config
from serving.ray_serve import App, Copies, Running, check_free, in_the_way, url
from serving.service import _not_started

SHARED = Running("127.0.0.1", 8000, ("10.0.0.1",), {"other": App("/other", "RUNNING"), "gone": App("/", "DELETING")})


@pytest.mark.parametrize(
    ("name", "prefix", "field"),
    [("other", "/", "name"), ("mine", "/other", "route_prefix"), ("mine", "/", ""), ("gone", "/", "")],
)
def test_a_name_or_a_path_in_use_is_refused_and_one_that_is_ending_is_free(
    name: str, prefix: str, field: str
) -> None:
    if not field:
        return check_free(SHARED, name, prefix)
    with pytest.raises(StemsError, match="--replace") as caught:
        check_free(SHARED, name, prefix)
    assert caught.value.field == field


def test_what_replace_takes_the_place_of_is_the_holder_of_the_path() -> None:
    assert in_the_way(SHARED, "mine", "/other") == "other"
    assert in_the_way(SHARED, "other", "/other") == ""
    assert in_the_way(SHARED, "mine", "/") == ""


@pytest.mark.parametrize(
    ("host", "proxies", "prefix", "expected"),
    [
        ("127.0.0.1", ("10.0.0.1",), "/", "http://127.0.0.1:8000"),
        ("0.0.0.0", ("10.0.0.1", "10.0.0.2"), "/music", "http://127.0.0.1:8000/music"),
        ("0.0.0.0", ("10.0.0.2",), "/music", "http://10.0.0.2:8000/music"),
        ("::1", (), "/", "http://[::1]:8000"),
        ("10.0.0.7", (), "/", "http://10.0.0.7:8000"),
    ],
)
def test_the_address_is_the_one_that_answers(host: str, proxies: tuple[str, ...], prefix: str, expected: str) -> None:
    assert url(replace(SHARED, host=host, proxies=proxies), prefix, here="10.0.0.1") == expected


@pytest.mark.parametrize("prefix", ["music", "/music/", "//", "/a b", ""])
def test_a_route_prefix_that_serve_would_refuse_is_named(prefix: str) -> None:
    with pytest.raises(StemsError) as caught:
        parse_config({"model": "m", "route_prefix": prefix})
    assert caught.value.field == "route_prefix"


NODES = shapes([{"CPU": 2.0}, {"CPU": 4.0}])


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"gpus_per_replica": 1}, "gpus_per_replica"),
        ({"cpus_per_replica": 64}, "cpus_per_replica"),
        ({"cpus_per_separator": 5}, "cpus_per_separator"),
        ({"cpus_per_replica": 4, "replicas": 9}, ""),
    ],
)
def test_a_copy_that_no_machine_can_hold_is_refused(settings: dict[str, float], field: str) -> None:
    config = parse_config({"model": "m", **settings})
    if not field:
        return check_room(config, NODES, fixed=False)
    with pytest.raises(StemsError, match="no node has that: the largest has") as caught:
        check_room(config, NODES, fixed=False)
    assert caught.value.field == field
    assert f"Lower {field}" in caught.value.hint


@pytest.mark.parametrize(
    ("gpus", "settings", "each"),
    [
        ([0], {}, 0.0),
        ([1], {}, 1.0),
        ([1], {"gpus_per_replica": 0}, 0.0),
        ([8], {"gpus_per_replica": 2}, 2.0),
        ([4], {"replicas": 2, "max_replicas": 4}, 1.0),
        ([1], {"replicas": 2}, 0.5),
        ([1, 1], {"replicas": 3}, 0.5),
    ],
)
def test_copies_take_the_gpus_that_there_are(gpus: list[float], settings: dict[str, object], each: float) -> None:
    nodes = shapes([{"CPU": 8.0, "GPU": float(count)} for count in gpus])
    config = choose_gpus(parse_config({"model": "m", **settings}), nodes)
    assert config.gpus_per_replica == each
    check_room(config, nodes, fixed=True)


def test_all_copies_must_fit_a_machine_of_ones_own() -> None:
    config = parse_config({"model": "m", "cpus_per_replica": 4, "replicas": 9})
    with pytest.raises(StemsError, match="There is room for 1 of 9 times a copy of the model"):
        check_room(config, NODES, fixed=True)


def test_what_waits_for_room_is_said_in_one_line() -> None:
    config = ServeConfig(model="m", replicas=5)
    some = App("/", "DEPLOYING", copies={"GeneratorReplica": Copies(wanted=5, running=2, unplaced=3)})
    line = waiting_line(some, config, lambda: {"CPU": 0.5})
    assert line.startswith("3 of 5 copies of the model wait for room: each takes 1 CPUs")
    assert "0.5 CPUs are free" in line
    assert "\n" not in line
    none = App("/", "DEPLOYING", copies={"GeneratorReplica": Copies(wanted=1, running=0, unplaced=1)})
    assert "Nothing answers yet" in waiting_line(none, config, dict)
    loading = App("/", "DEPLOYING", copies={"GeneratorReplica": Copies(wanted=1, running=0, unplaced=0)})
    assert waiting_line(loading, config, dict) == ""


def test_a_start_that_failed_is_one_line_out_of_a_traceback() -> None:
    ours = "Deploying failed: x\n  File y\nmodels.errors.StemsError: It is too large. Lower slots.\n  more"
    assert str(_not_started(ours)) == "The service did not start: It is too large. Lower slots."
    theirs = "Traceback:\n  File y, line 3\n    raise\ntorch.cuda.OutOfMemoryError: no memory\n\nThe above…"
    assert "OutOfMemoryError: no memory. Its logs" in str(_not_started(theirs))
