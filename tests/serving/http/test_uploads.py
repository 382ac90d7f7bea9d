"""What a catalog reads, an upload may be."""

from __future__ import annotations

import pytest
from helpers.lengths import WRONG_LENGTHS

from models.errors import StemsError
from serving.http.uploads import decode

WITHIN_S = 0.03


@pytest.mark.parametrize("kind", WRONG_LENGTHS)
def test_an_upload_is_as_long_as_the_sound_in_it(kind: str) -> None:
    wrong: dict[str, object] = {}
    for case in WRONG_LENGTHS[kind]():
        try:
            seconds = decode(case.data, "song", case.name, 60.0).seconds
        except StemsError as error:
            wrong[case.name] = str(error)
            continue
        if not -WITHIN_S <= seconds - case.seconds <= case.delay + WITHIN_S:
            wrong[case.name] = seconds
    assert not wrong
