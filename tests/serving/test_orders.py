from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.audio import Audio
from models.errors import StemsError
from models.stems import MUSICGEN_STEM
from serving.orders import ModelFacts, edit_origins, order_edit, order_song
from serving.schemas import EditRequest, SongRequest

FACTS = ModelFacts("abc", MUSICGEN_STEM, 32_000, 50.0, 10.0, separates=True)


def audio(seconds: float = 1.0) -> Audio:
    return Audio(np.zeros((1, int(seconds * 8000)), np.float32), 8000)


def origins(sent: list[str], **fields: Any) -> dict[str, str]:
    order = order_edit(EditRequest(**fields), {name: audio() for name in sent}, FACTS)
    return dict(edit_origins(order, MUSICGEN_STEM))


def test_of_a_whole_song_only_the_named_stems_are_new() -> None:
    assert origins(["song"], regenerate="bass") == {"bass": "generated", "drums": "kept", "other": "kept"}


def test_a_stem_not_sent_is_generated_and_a_silent_one_is_silent() -> None:
    assert origins(["bass"], silent="other") == {"bass": "kept", "drums": "generated", "other": "silent"}


def test_a_whole_song_may_lose_a_stem() -> None:
    wanted = {"bass": "generated", "drums": "silent", "other": "kept"}
    assert origins(["song"], regenerate="bass", silent="drums") == wanted


def test_free_keeping_varies() -> None:
    assert origins(["song"], regenerate="bass", keep="free")["drums"] == "varied"


def test_names_come_repeated_or_with_commas() -> None:
    assert EditRequest(regenerate=["bass, drums", "bass", ""]).regenerate == ["bass", "drums"]


@pytest.mark.parametrize(
    ("sent", "fields", "field"),
    [
        (["song"], {}, "regenerate"),
        (["bass", "drums", "other"], {}, "regenerate"),
        (["song"], {"silent": "bass"}, "regenerate"),
        (["song"], {"regenerate": "bass,drums,other"}, "regenerate"),
        (["bass"], {"regenerate": "bass"}, "regenerate"),
        (["song"], {"regenerate": "tuba"}, "regenerate"),
        (["bass"], {"silent": "tuba"}, "silent"),
        (["bass"], {"silent": "bass"}, "silent"),
        (["bass"], {"silent": "drums", "regenerate": "drums"}, "silent"),
    ],
)
def test_contradictions_are_refused(sent: list[str], fields: dict[str, Any], field: str) -> None:
    with pytest.raises(StemsError) as caught:
        origins(sent, **fields)
    assert caught.value.field == field
    assert caught.value.mend


def test_audio_too_short_to_say_anything_is_refused() -> None:
    with pytest.raises(StemsError) as caught:
        order_edit(EditRequest(), {"drums": audio(0.1)}, FACTS)
    assert (caught.value.field, caught.value.code) == ("drums", "too_short")


def test_a_song_longer_than_the_limit_is_refused() -> None:
    assert order_song(SongRequest(seconds=10), 10.0).seconds == 10
    with pytest.raises(StemsError) as caught:
        order_song(SongRequest(seconds=10.01), 10.0)
    assert (caught.value.field, caught.value.code) == ("seconds", "too_long")
