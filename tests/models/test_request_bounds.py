"""Stems and stretches of time, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from models.request_bounds import Region, StemNames
from serving.client.requests import region_text

REGION, NAMES = TypeAdapter(Region), TypeAdapter(StemNames)


@pytest.mark.parametrize(
    "text",
    ["4-6.5", "4 - 6.5", "4 6.5", "4,6.5", "4, 6.5", " 4  6.5 ", ["4", "6.5"], ["4-6.5"], [4, 6.5], (4.0, 6.5)],
)
def test_a_region_may_be_written_in_several_ways(text: object) -> None:
    assert REGION.validate_python(text) == (4.0, 6.5)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=2, unique=True).map(sorted))
def test_a_region_is_read_as_the_client_writes_it(edges: list[float]) -> None:
    assert REGION.validate_python(region_text((edges[0], edges[1]))) == tuple(edges)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-",
        "-1-2",
        "-1 2",
        "a-b",
        "[1, 2]",
        "1-2-3",
        "2-1",
        "1-1",
        "0-inf",
        "nan-1",
        [1],
        [1, 2, 3],
        {},
        None,
    ],
)
def test_what_is_not_a_region_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValidationError, match=r"START and END in seconds, such as 0\.5 2\.5 or 0\.5-2\.5"):
        REGION.validate_python(text)


@pytest.mark.parametrize("text", ["bass,drums", "bass, drums,", ["bass", "drums"], ["bass,drums", "bass"]])
def test_stems_may_be_written_in_several_ways(text: object) -> None:
    assert NAMES.validate_python(text) == ["bass", "drums"]
