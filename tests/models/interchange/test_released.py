"""A whole release, loaded as a user would, gives the reference's codes and sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import cli
from models.assembly import Assembly
from models.errors import StemsError
from models.interchange.released import load_release
from models.lm.sampling import Sampling
from models.stems import MUSICGEN_STEM

STEMS = MUSICGEN_STEM.names


@pytest.fixture(scope="module")
def golden(reference_golden: Path) -> dict[str, Tensor]:
    return load_file(reference_golden / "golden.safetensors")


@pytest.fixture(scope="module")
def release(reference_golden: Path) -> Assembly:
    return load_release(reference_golden)


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
    torch.testing.assert_close(codec.decode(codes), golden[f"{stem}.decoded"], atol=1e-4, rtol=0)


def test_a_release_edits_without_its_text_encoder(release: Assembly, golden: dict[str, Tensor]) -> None:
    from models.audio import Audio

    drums = Audio(golden["wav"][0].numpy(), release.sample_rate)
    song = release.edit({"drums": drums}, sampling=Sampling(seed=1))
    assert np.array_equal(song.codes[1], golden["drums.codes"][0, 0].numpy())


def test_a_prompt_without_the_text_encoder_says_which_one_is_missing(release: Assembly) -> None:
    with pytest.raises(StemsError, match="t5-base"):
        release.generate("anything", 0.1, Sampling())


def test_a_release_without_codecs_is_refused(reference_golden: Path, tmp_path: Path) -> None:
    (tmp_path / "state_dict.bin").symlink_to(reference_golden / "state_dict.bin")
    with pytest.raises(StemsError, match="no codecs"):
        load_release(tmp_path)


def test_stems_import_writes_a_model_that_says_its_licence(
    reference_golden: Path, golden: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    assert cli.main(["import", "--source", str(reference_golden), "--output", str(output)]) == 0
    assert "CC-BY-NC" in capsys.readouterr().out
    assert "CC-BY-NC" in (output / "README.md").read_text()
    imported = Assembly.load(output)
    assert torch.equal(imported.codecs["other"].encode(golden["wav"]), golden["other.codes"].long())
    assert cli.main(["import", "--source", str(reference_golden), "--output", str(output)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_what_is_no_model_is_refused_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["import", "--source", str(tmp_path / "empty"), "--output", str(tmp_path / "out")]) == 2
    assert "no format that is known" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
