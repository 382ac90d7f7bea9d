from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import EncodecModel

from models.codec.codec import StemCodec, build_codec
from models.codec.quantizer import start_codebooks
from models.codec.size import CodecSize
from models.codec.stream import DELAY_FRAMES, StreamDecoder

SIZE = CodecSize(filters=2, latent=8, cardinality=32, lstm_layers=1)


@pytest.fixture(scope="module", params=[False, True], ids=["looks ahead", "causal"])
def codec(request: pytest.FixtureRequest) -> StemCodec:
    torch.manual_seed(0)
    config = build_codec(SIZE, 2).network.config
    config.use_causal_conv = request.param
    made = StemCodec(EncodecModel(config)).eval()
    with torch.no_grad():
        start_codebooks(made.network.quantizer, made.latent(0.3 * torch.randn(4, 1, 16_000)), seed=0)
    return made


def stream(codec: StemCodec, codes: torch.Tensor, cuts: list[int]) -> list[torch.Tensor]:
    decoder = StreamDecoder(codec)
    bounds = [0, *sorted(cuts), codes.shape[1]]
    parts = [decoder.push(codes[:, a:b]) for a, b in pairwise(bounds)]
    return [*parts, decoder.push(codes[:, :0], last=True)]


@given(frames=st.integers(1, 120), seed=st.integers(0, 2**31), cuts=st.lists(st.integers(0, 120), max_size=12))
@settings(max_examples=40, deadline=None)
def test_streamed_sound_is_that_of_the_whole_song(codec: StemCodec, frames: int, seed: int, cuts: list[int]) -> None:
    codes = torch.randint(32, (2, frames), generator=torch.Generator().manual_seed(seed))
    whole = codec.decode(codes[None])[0, 0]
    streamed = torch.cat(stream(codec, codes, [min(cut, frames) for cut in cuts]))
    assert streamed.shape == whole.shape
    noise = (streamed - whole).square().mean()
    assert 10 * torch.log10(whole.square().mean() / noise.clamp(min=1e-20)) > 90


def test_sound_comes_a_quarter_of_a_second_after_its_codes(codec: StemCodec) -> None:
    decoder = StreamDecoder(codec)
    codes = torch.randint(32, (2, 50))
    assert len(decoder.push(codes)) == (50 - DELAY_FRAMES) * codec.hop
    assert DELAY_FRAMES / codec.frame_rate < 0.25


def test_a_song_of_no_frames_is_silent(codec: StemCodec) -> None:
    assert StreamDecoder(codec).push(torch.zeros((2, 0), dtype=torch.int64), last=True).shape == (0,)
