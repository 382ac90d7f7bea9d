"""A whole release, loaded as a user would, gives the reference's codes and sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.release import write_release
from safetensors.torch import load_file
from torch import Tensor

import cli
from models.codec import CodecSize, StemCodec, build_codec
from models.codec.quantizer import start_codebooks
from models.errors import StemsError
from models.interchange.audiocraft_release import load_release
from models.interchange.import_command import ImportConfig, import_model
from models.lm.language_model import LMConfig, StemLM
from models.lm.sampling import Sampling
from models.lm.text import TextConfig
from models.lm.transformer import Condition
from models.song.assembly import Assembly
from models.song.edit import Edit
from models.song.source import Source
from models.stems import MUSICGEN_STEM, StemLayout

STEMS = MUSICGEN_STEM.names


@pytest.fixture(scope="module")
def golden(golden_release: Path) -> dict[str, Tensor]:
    return load_file(golden_release / "golden.safetensors")


@pytest.fixture(scope="module")
def release(golden_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """As a user has it: imported, saved, loaded."""
    output = tmp_path_factory.mktemp("imported") / "model"
    import_model(ImportConfig(source=str(golden_release), output=str(output)))
    return Assembly.load(output)


def test_layout_and_sizes_are_read_from_the_release(release: Assembly) -> None:
    assert release.layout == MUSICGEN_STEM
    assert release.lm.config.segment_frames == 1500
    assert release.lm.config.text.name == "t5-base"


@pytest.mark.parametrize("stem", STEMS)
def test_codecs_give_the_references_codes_and_sound(release: Assembly, golden: dict[str, Tensor], stem: str) -> None:
    codec = release.codecs[stem]
    with torch.no_grad():
        latent = codec.latent(golden["wav"])
    codes = codec.encode(golden["wav"])
    assert torch.equal(codes, golden[f"{stem}.codes"].long())
    torch.testing.assert_close(latent, golden[f"{stem}.latent"], atol=1e-4, rtol=0)
    quantized = codec.network.quantizer.decode(codes.transpose(0, 1))
    torch.testing.assert_close(quantized, golden[f"{stem}.quantized"], atol=1e-4, rtol=0)
    torch.testing.assert_close(codec.decode(codes), golden[f"{stem}.decoded"], atol=1e-4, rtol=0)


def test_a_release_edits_without_its_text_encoder(release: Assembly, golden: dict[str, Tensor]) -> None:
    from models.audio.files import Audio

    drums = Audio(golden["wav"][0].numpy(), release.sample_rate)
    song = release.edit({"drums": Source(drums)}, Edit(), sampling=Sampling(seed=1))
    assert np.array_equal(song.codes[1], golden["drums.codes"][0, 0].numpy())


def test_a_prompt_without_the_text_encoder_says_which_one_is_missing(release: Assembly) -> None:
    with pytest.raises(StemsError, match="t5-base"):
        release.generate("anything", 0.1, Sampling())


def test_a_release_without_codecs_is_refused(golden_release: Path, tmp_path: Path) -> None:
    (tmp_path / "state_dict.bin").symlink_to(golden_release / "state_dict.bin")
    with pytest.raises(StemsError, match="no codecs"):
        load_release(tmp_path)


def test_stems_import_writes_a_model_that_says_its_licence(
    golden_release: Path, golden: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    assert cli.main(["import", "--source", str(golden_release), "--output", str(output)]) == 0
    assert "CC-BY-NC" in capsys.readouterr().out
    assert "CC-BY-NC" in (output / "README.md").read_text()
    assert all("CC-BY-NC" in (output / part / "LICENCE.md").read_text() for part in ("lm", "codecs/bass"))
    imported = Assembly.load(output)
    assert torch.equal(imported.codecs["other"].encode(golden["wav"]), golden["other.codes"].long())
    assert cli.main(["import", "--source", str(golden_release), "--output", str(output)]) == 2
    assert "exists already" in capsys.readouterr().err


SEVEN = StemLayout.parse("bass:2,drums:1,other:4")


def seven_codebooks() -> tuple[StemLM, dict[str, StemCodec]]:
    """A language model and codecs whose every size differs from those of the reference vectors."""
    torch.manual_seed(0)
    size = CodecSize(filters=3, latent=8, cardinality=64, lstm_layers=1, ratios=(4, 5, 4, 4))
    text = TextConfig(kind="t5", name="t5-base", dim=768)
    sizes: dict[str, Any] = {"dim": 48, "heads": 6, "layers": 2, "feed_forward_ratio": 3, "segment_frames": 3000}
    lm = StemLM(LMConfig(layout=SEVEN, cardinality=64, frame_rate=100.0, text=text, **sizes)).eval()
    codecs = {stem.name: build_codec(size, stem.codebooks).eval() for stem in SEVEN.stems}
    for codec in codecs.values():
        start_codebooks(codec.network.quantizer, codec.latent(torch.randn(2, 1, 32_000)), seed=1)
    return lm, codecs


def test_a_release_of_other_sizes_streams_and_delays_is_the_same_model(tmp_path: Path) -> None:
    lm, codecs = seven_codebooks()
    write_release(tmp_path / "release", lm, codecs)
    import_model(ImportConfig(source=str(tmp_path / "release"), output=str(tmp_path / "model")))
    imported = Assembly.load(tmp_path / "model")
    assert imported.lm.config == lm.config
    assert imported.layout.delays == (0, 1, 0, 0, 1, 2, 3)
    tokens, none = torch.randint(65, (1, 7, 9)), Condition.null(1, 768)
    with torch.no_grad():
        torch.testing.assert_close(imported.lm.transformer(tokens, none), lm.transformer(tokens, none))
    wav = torch.randn(1, 1, 8000)
    for stem, codec in codecs.items():
        codes = codec.encode(wav)
        assert codes.unique().numel() > 2
        assert torch.equal(imported.codecs[stem].encode(wav), codes)
        assert torch.equal(imported.codecs[stem].decode(codes), codec.decode(codes))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"positional_embedding": "rope"}, "positional_embedding='rope'"),
        ({"bias_ff": True}, "bias_ff=True"),
        ({"dim": 96}, "do not fit"),
        ({"num_layers": 3}, "do not fit"),
    ],
)
def test_a_release_that_is_built_otherwise_is_refused(tmp_path: Path, said: dict[str, Any], complaint: str) -> None:
    write_release(tmp_path / "release", *seven_codebooks(), said)
    with pytest.raises(StemsError, match=complaint):
        load_release(tmp_path / "release")


def test_what_is_no_model_is_refused_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["import", "--source", str(tmp_path / "empty"), "--output", str(tmp_path / "out")]) == 2
    assert "has an unknown format" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
