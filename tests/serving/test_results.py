from __future__ import annotations

from serving.results import ResultStore


def test_the_result_used_longest_ago_goes_first() -> None:
    store = ResultStore(max_bytes=10)
    store.put("a", {"x": b"1234"})
    store.put("b", {"x": b"1234"})
    assert store.get("a") is not None
    store.put("c", {"x": b"1234"})
    assert store.get("b") is None
    assert store.get("a") == {"x": b"1234"}
    assert store.get("c") == {"x": b"1234"}


def test_the_newest_result_stays_even_if_it_is_too_large() -> None:
    store = ResultStore(max_bytes=3)
    store.put("a", {"x": b"12"})
    store.put("b", {"x": b"1234"})
    assert store.get("a") is None
    assert store.get("b") == {"x": b"1234"}
    store.put("c", {"x": b"1"})
    assert store.get("b") is None
    assert store.get("c") is not None
