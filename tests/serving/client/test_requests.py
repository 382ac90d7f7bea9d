"""How a request is written: regions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import StemsError
from serving.client.requests import read_region, region_text

text = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=12)


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ((0.5, 2.5), "0.5-2.5"),
        ((0, 10), "0-10"),
        ((1e-7, 123.456789), "0.0000001-123.456789"),
        ((np.float32(0.5), np.float64(200)), "0.5-200"),
    ],
)
def test_a_region_is_written_out(region: tuple[float, float], text: str) -> None:
    assert region_text(region) == text


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=2, unique=True).map(sorted))
def test_a_region_is_read_as_it_was_written(edges: list[float]) -> None:
    assert read_region(region_text((edges[0], edges[1]))) == tuple(edges)


@pytest.mark.parametrize("region", [(1, 1), (2, 1), (-1, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_region_that_is_none(region: tuple[float, float]) -> None:
    with pytest.raises(StemsError) as caught:
        region_text(region)
    assert caught.value.field == "region"


@pytest.mark.parametrize("text", ["1", "1-", "-1-2", "a-b", "1e1-20", "[1, 2]", "1-2-3", "٣-٤"])
def test_a_text_that_is_no_region(text: str) -> None:
    with pytest.raises(StemsError, match="Give START-END in seconds"):
        read_region(text)
