"""Which addresses are a cluster's, and how soon it is known that none is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from helpers.ports import free_port

from cluster.address import answers, reach
from models.errors import StemsError


@pytest.mark.parametrize(
    "named",
    ["nonsense", ":6379", "host:", "host:0", "host:99999", "http://127.0.0.1:8265", "ray://", "a b:6379", "::1:6379"],
)
def test_what_is_no_address_of_a_cluster_is_refused_with_the_forms_there_are(named: str) -> None:
    with pytest.raises(StemsError, match="HOST:PORT") as caught:
        reach(named)
    assert f"RAY_ADDRESS={named}" in caught.value.message


@pytest.mark.parametrize("named", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "host.invalid:{port}"])
def test_an_address_where_nothing_answers_is_named(named: str) -> None:
    named = named.format(port=free_port())
    with pytest.raises(StemsError, match="nothing answers") as caught:
        reach(named, seconds=0.3)
    assert f"RAY_ADDRESS={named}" in caught.value.message
    assert "unset RAY_ADDRESS" in caught.value.hint


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}"])
def test_another_program_at_the_address_is_not_waited_for(silent: int, form: str) -> None:
    with pytest.raises(StemsError, match="not a Ray cluster"):
        reach(form.format(port=silent), seconds=0.2)


def test_a_machine_without_a_cluster_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path_factory.mktemp("none")))
    with pytest.raises(StemsError, match="ray start --head"):
        reach("auto")


def test_a_cluster_that_is_starting_is_waited_for_and_one_that_is_dead_for_five_seconds() -> None:
    port, now, started = free_port(), [0.0], threading.Event()
    listening = socket.socket()

    def pause(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 3 and started.is_set() is False and wanted:
            listening.bind(("127.0.0.1", port))
            listening.listen()
            started.set()

    wanted = False
    assert not answers("127.0.0.1", port, 5.0, clock=lambda: now[0], pause=pause)
    assert now[0] == pytest.approx(5.0)
    now[0], wanted = 0.0, True
    with listening:
        assert answers("127.0.0.1", port, 5.0, clock=lambda: now[0], pause=pause)
    assert 3 < now[0] < 4
