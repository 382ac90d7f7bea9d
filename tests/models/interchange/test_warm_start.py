"""MusicGen's weights as the start of a model of stems."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tiny import tiny_lm
from torch import Tensor

from models.errors import StemsError
from models.interchange.warm_start import codebook_sources, warm_start
from models.lm.language_model import StemLM
from models.lm.objective import stream_loss
from models.lm.transformer import Condition
from models.stems import MUSICGEN, MUSICGEN_STEM, StemLayout

CODECS = {"bass": "b", "drums": "d", "other": "o"}
CARDINALITY = 16


def loss(lm: StemLM, codes: Tensor) -> Tensor:
    """Loss of each stream on whole songs without text."""
    where = torch.ones(codes.shape[0], codes.shape[-1], dtype=torch.bool)
    nothing = Condition.null(len(codes), lm.text.dim)
    return stream_loss(lm.transformer, codes, where, nothing, lm.layout.delays).per_stream


def music(seed: int, songs: int = 8) -> Tensor:
    """Songs of four codebooks that a small model can learn: each codebook counts on from where it is."""
    start = torch.randint(CARDINALITY, (songs, 4, 1), generator=torch.Generator().manual_seed(seed))
    return (start + torch.arange(24) * torch.tensor([1, 3, 5, 7])[:, None]) % CARDINALITY


def in_unison(codes: Tensor) -> Tensor:
    """The six streams of stems that all say what the mix says."""
    return codes[:, list(codebook_sources(MUSICGEN_STEM))]


@pytest.fixture(scope="module")
def musicgen() -> StemLM:
    lm = tiny_lm(MUSICGEN)
    optimizer = torch.optim.AdamW(lm.parameters(), lr=3e-3)
    for step in range(120):
        optimizer.zero_grad()
        loss(lm, music(step)).mean().backward()
        optimizer.step()
    return lm.requires_grad_(False)


def test_first_codebooks_come_from_the_first_and_residual_ones_from_their_own_depth() -> None:
    assert codebook_sources(MUSICGEN_STEM) == (0, 0, 0, 1, 2, 3)
    assert codebook_sources(StemLayout.parse("bass:2,drums:1,other:6")) == (0, 1, 0, 0, 1, 2, 3, 3, 3)


def test_everything_but_tables_and_heads_is_musicgens(musicgen: StemLM) -> None:
    model = warm_start(musicgen, MUSICGEN_STEM, CODECS)
    assert model.config == replace(musicgen.config, layout=MUSICGEN_STEM, codecs=CODECS)
    theirs, ours = musicgen.state_dict(), model.state_dict()
    changed = {name for name, value in theirs.items() if not torch.equal(value, ours[name])}
    assert changed == {"transformer.embedding.weight", "transformer.heads.weight"}


def test_stems_in_unison_get_exactly_what_musicgen_gave_the_mix(musicgen: StemLM) -> None:
    codes, model = music(1000), warm_start(musicgen, MUSICGEN_STEM, CODECS)
    expected = loss(musicgen, codes)[list(codebook_sources(MUSICGEN_STEM))]
    ours = loss(model, in_unison(codes))
    # The two count their last, partly defined steps alike: both delay by up to three frames.
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_it_knows_more_of_unlike_stems_than_a_new_model(musicgen: StemLM) -> None:
    # Bass and drums of two other songs: no stem says what another says.
    codes = in_unison(music(1000))
    codes[:, 0], codes[:, 1] = music(1001)[:, 0], music(1002)[:, 0]
    started = loss(warm_start(musicgen, MUSICGEN_STEM, CODECS), codes)
    torch.manual_seed(1)
    new = loss(StemLM(replace(musicgen.config, layout=MUSICGEN_STEM)), codes)
    assert torch.isfinite(started).all()
    assert started.mean() < new.mean() - 0.5


def test_another_model_of_other_stems_is_refused() -> None:
    with pytest.raises(StemsError, match=r"bass:1,drums:1,other:2.*bass:1,drums:1,other:4"):
        warm_start(tiny_lm(), MUSICGEN_STEM, CODECS)
