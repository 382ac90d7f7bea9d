"""StemCodec: shapes, chunked songs, and a directory that transformers opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.codec import CodecSize, StemCodec, build_codec
from models.codec.network import encodec_config, with_codebooks
from models.codec.quantizer import start_codebooks
from models.codec.whole_song import chunks, in_chunks
from models.errors import StemsError
from models.presets import CODEC_SIZES

SIZE = CodecSize(filters=2, latent=8, cardinality=32, lstm_layers=1)
HOP = 640


@pytest.fixture(scope="module")
def codec() -> StemCodec:
    torch.manual_seed(0)
    made = build_codec(SIZE, 3).eval()
    with torch.no_grad():
        start_codebooks(made.network.quantizer, made.latent(0.3 * torch.randn(4, 1, 16_000)), seed=0)
    return made


def noise(*shape: int) -> torch.Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("samples", "frames"), [(HOP, 1), (HOP + 1, 2), (10 * HOP - 1, 10), (10 * HOP, 10)])
def test_frames_are_samples_over_hop_rounded_up(codec: StemCodec, samples: int, frames: int) -> None:
    codes = codec.encode(noise(2, 1, samples))
    assert codes.shape == (2, 3, frames)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 32
    assert codec.decode(codes).shape == (2, 1, frames * HOP)


def test_it_knows_its_sizes(codec: StemCodec) -> None:
    assert (codec.sample_rate, codec.hop, codec.frame_rate) == (32_000, HOP, 50)
    assert (codec.codebooks, codec.cardinality) == (3, 32)


def test_rows_of_a_batch_do_not_influence_each_other(codec: StemCodec) -> None:
    wav = noise(3, 1, 20 * HOP)
    assert torch.equal(codec.encode(wav)[1:2], codec.encode(wav[1:2]))


def test_the_directory_opens_in_plain_transformers_with_the_same_codes(codec: StemCodec, tmp_path: Path) -> None:
    from transformers import EncodecModel

    codec.save(tmp_path)
    plain = EncodecModel.from_pretrained(tmp_path).eval()
    wav = noise(2, 1, 50 * HOP)
    with torch.no_grad():
        encoded = plain.encode(wav)
        decoded = plain.decode(encoded.audio_codes, encoded.audio_scales).audio_values
    codes = codec.encode(wav)
    assert codes.unique().numel() > 10
    assert torch.equal(encoded.audio_codes[0], codes)
    assert torch.equal(decoded, codec.decode(codes))
    assert (tmp_path / "README.md").exists()


def test_save_and_load_change_nothing(codec: StemCodec, tmp_path: Path) -> None:
    codec.save(tmp_path / "one")
    loaded = StemCodec.load(tmp_path / "one")
    wav = noise(1, 1, 30 * HOP)
    assert torch.equal(loaded.encode(wav), codec.encode(wav))
    assert loaded.digest == codec.digest
    loaded.save(tmp_path / "two")
    assert StemCodec.load(tmp_path / "two").digest == codec.digest


def test_the_digest_follows_the_weights(codec: StemCodec) -> None:
    torch.manual_seed(0)
    one, same, other = (build_codec(SIZE, 1) for _ in range(3))
    same.load_state_dict(one.state_dict())
    assert one.digest == same.digest != other.digest
    same.network.quantizer.layers[0].codebook.embed[0, 0] += 1e-3
    assert one.digest != same.digest


@pytest.mark.parametrize("codebooks", [1, 2, 3, 4, 7, 8, 32])
@pytest.mark.parametrize("cardinality", [16, 256, 1024, 2048])
def test_transformers_derives_the_wanted_number_of_codebooks(codebooks: int, cardinality: int) -> None:
    from transformers.models.encodec.modeling_encodec import EncodecResidualVectorQuantizer

    size = CodecSize(filters=2, latent=4, cardinality=cardinality)
    config = encodec_config(size, codebooks)
    quantizer = EncodecResidualVectorQuantizer(config)
    assert len(quantizer.layers) == codebooks
    assert quantizer.get_num_quantizers_for_bandwidth(config.target_bandwidths[0]) >= codebooks


@pytest.mark.parametrize("codebooks", [1, 2, 3, 5])
def test_a_codec_is_given_fewer_or_more_codebooks(codec: StemCodec, codebooks: int) -> None:
    before = codec.state_dict()
    changed = StemCodec(with_codebooks(codec.network, codebooks)).eval()
    assert changed.codebooks == codebooks
    wav, kept = noise(1, 1, 30 * HOP), min(codebooks, 3)
    assert torch.equal(changed.encode(wav)[:, :kept], codec.encode(wav)[:, :kept])
    books = [layer.codebook for layer in changed.network.quantizer.layers]
    assert [book.inited.item() for book in books] == [1.0] * kept + [0.0] * (codebooks - kept)
    changed.network.quantizer.layers[0].codebook.embed.zero_()
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())


@pytest.mark.parametrize(
    "changes", [{"use_causal_conv": True}, {"upsampling_ratios": [8, 5, 4, 2], "pad_mode": "reflect"}]
)
def test_it_remains_the_network_that_it_was(changes: dict[str, Any]) -> None:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(num_filters=2, hidden_size=4, codebook_size=16, target_bandwidths=[0.6], **changes)
    changed = with_codebooks(EncodecModel(config), 6)
    assert len(changed.quantizer.layers) == 6
    assert changed.config.to_dict() == config.to_dict() | {"target_bandwidths": [6 * config.frame_rate * 4 / 1000]}


@pytest.mark.parametrize("seconds", [0.3, 1.0, 0.0])
def test_a_song_in_chunks_has_the_codes_of_the_song_in_one(codec: StemCodec, seconds: float) -> None:
    wav = noise(203 * HOP - 100)
    whole = codec.encode(wav[None, None])[0]
    pieces = codec.encode_song(wav, chunk_seconds=seconds)
    assert pieces.shape == whole.shape == (3, 203)
    # Sums of another order decide between codes that are equally near.
    assert (pieces != whole).any(dim=0).sum() <= 1


@pytest.mark.parametrize("seconds", [0.3, 1.0, 0.0])
def test_codes_in_chunks_have_the_sound_of_the_codes_in_one(codec: StemCodec, seconds: float) -> None:
    codes = codec.encode(noise(1, 1, 203 * HOP))[0]
    pieces = codec.decode_song(codes.short(), chunk_seconds=seconds)
    torch.testing.assert_close(pieces, codec.decode(codes[None])[0, 0], rtol=0, atol=1e-5)


def test_chunks_need_their_context_and_the_lstms_memory(codec: StemCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = codec.encode(noise(1, 1, 100 * HOP))[0]
    whole = codec.decode(codes[None])[0, 0]
    monkeypatch.setattr("models.codec.whole_song.CONTEXT", 0)
    assert (codec.decode_song(codes, chunk_seconds=0.5) - whole).abs().max() > 0.1 * whole.abs().max()
    monkeypatch.undo()
    monkeypatch.setattr(
        "models.codec.codec.remember", lambda layer, x, chunk: in_chunks(layer, x, 100, 25, per=1, made=1)
    )
    assert (codec.decode_song(codes, chunk_seconds=0.5) - whole).abs().max() > 1e-3 * whole.abs().max()


@pytest.mark.parametrize("changes", [{"use_causal_conv": True}, {"upsampling_ratios": [5, 2, 2, 4, 4]}])
def test_other_networks_go_through_in_chunks_too(changes: dict[str, Any]) -> None:
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    size = {"num_filters": 2, "hidden_size": 8, "codebook_size": 16, "pad_mode": "constant"}
    other = StemCodec(EncodecModel(EncodecConfig(**(size | changes))).eval())
    for layer in other.network.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed, std=0.05)
    wav = noise(60 * other.hop + 7)
    whole = other.encode(wav[None, None])[0]
    assert whole.unique().numel() > 2
    assert (other.encode_song(wav, chunk_seconds=0.2) != whole).float().mean() < 0.01
    torch.testing.assert_close(
        other.decode_song(whole, chunk_seconds=0.2), other.decode(whole[None])[0, 0], rtol=0, atol=1e-5
    )


def test_an_empty_song_has_no_codes(codec: StemCodec) -> None:
    codes = codec.encode_song(torch.zeros(0))
    assert codes.shape == (3, 0)
    assert codec.decode_song(codes).shape == (0,)


def test_chunks_cover_a_song_once() -> None:
    made = list(chunks(25, length=10, before=4, after=2))
    assert [(chunk.left, chunk.start, chunk.stop, chunk.right) for chunk in made] == [
        (0, 0, 10, 12),
        (6, 10, 20, 22),
        (16, 20, 25, 25),
    ]
    assert [frame for c in made for frame in list(range(c.left, c.right))[c.kept]] == list(range(25))


def test_bad_directories_are_named(tmp_path: Path, codec: StemCodec) -> None:
    with pytest.raises(StemsError, match="nowhere") as caught:
        StemCodec.load(tmp_path / "nowhere")
    assert caught.value.code == "missing"
    codec.save(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StemsError, match="cut") as caught:
        StemCodec.load(tmp_path / "cut")
    assert caught.value.code == "unreadable"


def test_stereo_codecs_are_refused() -> None:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(audio_channels=2, num_filters=2, hidden_size=8, codebook_size=4, normalize=True)
    with pytest.raises(StemsError, match="2 channels"):
        StemCodec(EncodecModel(config))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filters": 0}, "filters"),
        ({"cardinality": 2**16}, "cardinality"),
        ({"cardinality": 1000}, "cardinality"),
        ({"ratios": (7,)}, "ratios"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, int], field: str) -> None:
    with pytest.raises(StemsError) as caught:
        CodecSize(**changes)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_new_codec_carries_the_sound_into_its_latents() -> None:
    torch.manual_seed(0)
    codec = build_codec(CODEC_SIZES["tiny"], 1)
    with torch.no_grad():
        latent = codec.latent(0.1 * torch.randn(4, 1, 16_000))
    assert 0.03 < latent.std(dim=-1).mean() < 0.5
