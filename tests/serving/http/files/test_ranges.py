from __future__ import annotations

import pytest

from serving.http.files.ranges import Part, RangeError, has_it, wanted_part

TAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", Part(0, 1)),
        ("bytes=0-", Part(0, 10)),
        ("bytes=2-5", Part(2, 6)),
        ("bytes=9-9", Part(9, 10)),
        ("bytes=2-999", Part(2, 10)),
        ("bytes=-3", Part(7, 10)),
        ("bytes=-999", Part(0, 10)),
        ("Bytes = 1 - 2", Part(1, 3)),
        # What is sent whole
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=a-b", None),
        ("bytes=0-1,4-5", None),
        ("bytes=--1", None),
        ("bytes=٣-٤", None),
        ("bytes=1e3-", None),
        ("items=0-1", None),
        ("0-1", None),
        ("bytes=0-" + "9" * 30, None),
        ("", None),
    ],
)
def test_one_part_is_sent_as_it_is_asked_for(asked: str, part: Part | None) -> None:
    assert wanted_part({"range": asked}, TAG, 10) == part


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=999-"])
def test_a_part_behind_the_end_is_refused(asked: str) -> None:
    with pytest.raises(RangeError) as refused:
        wanted_part({"range": asked}, TAG, 10)
    assert refused.value.size == 10


@pytest.mark.parametrize(
    ("condition", "part"),
    [(TAG, Part(4, 10)), ('"other"', None), (f"W/{TAG}", None), ("Tue, 15 Nov 1994 12:45:26 GMT", None)],
)
def test_a_part_of_another_file_is_never_sent(condition: str, part: Part | None) -> None:
    assert wanted_part({"range": "bytes=4-", "if-range": condition}, TAG, 10) == part


@pytest.mark.parametrize(
    ("known", "has"),
    [(TAG, True), (f'"x", W/{TAG}', True), ("*", True), ('"x"', False), ("", False), ("abc", False)],
)
def test_a_client_that_has_the_file_is_not_sent_it(known: str, has: bool) -> None:
    assert has_it({"if-none-match": known}, TAG) == has
