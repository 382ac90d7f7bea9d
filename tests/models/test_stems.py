from __future__ import annotations

import pytest

from models.errors import StemsError
from models.stems import MUSICGEN, MUSICGEN_STEM, MUSICGEN_STEM_7CB, Stem, StemLayout


def test_the_papers_layout_has_six_streams_with_only_other_delayed() -> None:
    assert MUSICGEN_STEM.streams == 6
    assert MUSICGEN_STEM.delays == (0, 0, 0, 1, 2, 3)
    assert MUSICGEN_STEM.stream_names == ("bass", "drums", "other-1", "other-2", "other-3", "other-4")


def test_the_seven_codebook_release_and_musicgen_are_layouts_too() -> None:
    assert MUSICGEN_STEM_7CB.delays == (0, 1, 0, 0, 1, 2, 3)
    assert MUSICGEN.delays == (0, 1, 2, 3)


def test_stems_own_consecutive_streams() -> None:
    assert MUSICGEN_STEM.slice("other") == slice(2, 6)
    assert MUSICGEN_STEM.stream_mask(["drums", "other"]) == (False, True, True, True, True, True)


def test_maskable_sets_are_the_papers() -> None:
    assert MUSICGEN_STEM.maskable_sets("other") == ((5,), (4, 5), (3, 4, 5), (2, 3, 4, 5))
    assert MUSICGEN_STEM.maskable_sets("bass") == ((0,),)


def test_layouts_survive_text_and_json() -> None:
    six = StemLayout.parse("bass:1,drums:1,guitar:2,piano:2,other:4")
    assert StemLayout.parse(str(six)) == six
    assert StemLayout.from_dict(six.to_dict()) == six


@pytest.mark.parametrize("text", ["", "bass:x", "bass:1,bass:1", "bass:1,Bass:1", "bass:0", "bass:1,mix:1"])
def test_bad_layouts_are_refused(text: str) -> None:
    with pytest.raises(StemsError):
        StemLayout.parse(text)


def test_unknown_stems_are_named_with_the_known_ones() -> None:
    with pytest.raises(StemsError, match=r"'banjo'.*bass, drums, other"):
        MUSICGEN_STEM.slice("banjo")


def test_delays_must_fit_the_codebooks() -> None:
    with pytest.raises(StemsError, match="delays"):
        Stem("bass", 2, (0,))


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", ".", "..", ".hidden", "", "-x", "a b", "bass\n", "a" * 41, "c:d"]
)
def test_names_that_would_lead_elsewhere_on_disk_are_refused(name: str) -> None:
    with pytest.raises(StemsError, match="cannot be a stem name"):
        StemLayout.from_dict([{"name": name, "codebooks": 1}])
