"""How a request is written: regions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from models.errors import StemsError
from serving.client.requests import region_text

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


@pytest.mark.parametrize("region", [(1, 1), (2, 1), (-1, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_region_that_is_not_a_span_of_time_is_refused(region: tuple[float, float]) -> None:
    with pytest.raises(StemsError) as caught:
        region_text(region)
    assert caught.value.field == "region"
