"""Training the language model from a model that exists: fine-tuning, MusicGen, adapters."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny import CODEC, LAYOUT, tiny_codec, tiny_lm
from helpers.workers import adapted_gradients, run_workers

from models.errors import StemsError
from models.files.digest import directory_digest
from models.files.licence import put_licence
from models.lm.language_model import StemLM
from models.song.assembly_builder import assemble
from models.stems import MUSICGEN, StemLayout
from pipelines.training.lm.config import LMTraining
from pipelines.training.lm.start import describe, first_model
from pipelines.training.lm.train_lm import train_lm


@pytest.fixture(scope="module")
def digests(data: Path) -> dict[str, str]:
    return {name: directory_digest(data / "codecs" / name) for name in LAYOUT.names}


@pytest.fixture(scope="module")
def trained(digests: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny_lm(), tmp_path_factory.mktemp("trained"), digests)


@pytest.fixture(scope="module")
def musicgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny_lm(MUSICGEN), tmp_path_factory.mktemp("musicgen"), {})


def save(lm: StemLM, directory: Path, codecs: dict[str, str]) -> Path:
    lm.config = replace(lm.config, codecs=codecs)
    lm.save(directory)
    return directory


def config(data: Path, output: Path, **changes: object) -> LMTraining:
    settings: dict[str, object] = {"steps": 4, "batch": 2, "learning_rate": 3e-3, "warmup_steps": 0, "log_every": 1}
    settings |= {"validation_examples": 1, "tracking": "off", "precision": "float32", "average_every": 1}
    settings |= {"table": str(data / "tokens"), "codecs": str(data / "codecs"), "output": str(output)}
    return LMTraining(**(settings | changes))


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return StemLM.load(directory).state_dict()


def changed(before: Path, after: Path) -> set[str]:
    start = weights(before)
    return {name for name, value in weights(after).items() if not torch.equal(value, start[name])}


def test_a_trained_model_is_trained_on(data: Path, tmp_path: Path, trained: Path) -> None:
    result = train_lm(config(data, tmp_path / "run", start_from=str(trained), learning_rate=1e-9))
    assert StemLM.load(result.directory).config == StemLM.load(trained).config
    ours, theirs = weights(result.directory), weights(trained)
    assert all(torch.allclose(value, theirs[name], atol=1e-6) for name, value in ours.items())
    result = train_lm(config(data, tmp_path / "more", start_from=str(trained)))
    assert changed(trained, result.directory) == set(theirs)


def test_the_licence_of_the_weights_goes_along(data: Path, tmp_path: Path, trained: Path) -> None:
    shutil.copytree(trained, tmp_path / "imported")
    put_licence(tmp_path / "imported", "Weights are CC-BY-NC 4.0.")
    result = train_lm(config(data, tmp_path / "run", start_from=str(tmp_path / "imported"), steps=1))
    codecs = {name: data / "codecs" / name for name in LAYOUT.names}
    assemble(tmp_path / "model", result.directory, codecs, None)
    for part in ("lm", "."):
        for name in ("LICENCE.md", "README.md"):
            assert "CC-BY-NC 4.0" in (tmp_path / "model" / part / name).read_text()
    assert not (tmp_path / "model" / "codecs" / "bass" / "LICENCE.md").exists()


def test_a_whole_model_may_be_named(data: Path, tmp_path: Path, trained: Path, digests: dict[str, str]) -> None:
    codecs = {name: data / "codecs" / name for name in LAYOUT.names}
    assemble(tmp_path / "model", trained, codecs, None)
    chosen = config(data, tmp_path / "run", start_from=str(tmp_path / "model"))
    described = describe(chosen, LAYOUT, digests)
    assert described == StemLM.load(trained).config
    assert torch.equal(
        first_model(chosen, described).transformer.heads.weight, StemLM.load(trained).transformer.heads.weight
    )


def test_a_model_of_other_codecs_is_refused(data: Path, tmp_path: Path, digests: dict[str, str]) -> None:
    other = save(tiny_lm(), tmp_path / "other", digests | {"drums": "0123456789ab"})
    with pytest.raises(StemsError, match=f"0123456789ab of 'drums'.*{digests['drums']}"):
        train_lm(config(data, tmp_path / "run", start_from=str(other)))


def test_an_imported_models_codecs_are_those_beside_it(data: Path, tmp_path: Path, digests: dict[str, str]) -> None:
    imported = tmp_path / "imported"
    save(tiny_lm(), imported / "lm", {})
    shutil.copytree(data / "codecs", imported / "codecs")
    assert describe(config(data, tmp_path, start_from=str(imported)), LAYOUT, digests).codecs == digests
    shutil.rmtree(imported / "codecs" / "bass")
    tiny_codec(1, seed=9).save(imported / "codecs" / "bass")
    with pytest.raises(StemsError, match="'bass'"):
        describe(config(data, tmp_path, start_from=str(imported)), LAYOUT, digests)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"preset": "tiny"}, "preset=tiny"), ({"text_encoder": "bytes"}, "text_encoder=bytes")],
)
def test_what_the_model_brings_cannot_be_asked_for(
    data: Path, tmp_path: Path, trained: Path, digests: dict[str, str], changes: dict[str, str], named: str
) -> None:
    with pytest.raises(StemsError, match=named):
        describe(config(data, tmp_path, start_from=str(trained), **changes), LAYOUT, digests)


def test_adapters_need_a_model_to_adapt(data: Path, tmp_path: Path, digests: dict[str, str]) -> None:
    with pytest.raises(StemsError, match="lora_rank=2"):
        describe(config(data, tmp_path, lora_rank=2), LAYOUT, digests)


def test_musicgen_becomes_a_model_of_stems(data: Path, tmp_path: Path, musicgen: Path) -> None:
    result = train_lm(config(data, tmp_path / "run", start_from=str(musicgen), learning_rate=1e-9))
    lm, theirs = StemLM.load(result.directory), StemLM.load(musicgen)
    assert lm.layout == LAYOUT
    assert set(lm.config.codecs) == set(LAYOUT.names)
    bass, first = (
        lm.transformer.heads.weight[: CODEC.cardinality],
        theirs.transformer.heads.weight[: CODEC.cardinality],
    )
    torch.testing.assert_close(bass, first, atol=1e-6, rtol=0)


def test_a_model_of_other_stems_is_refused(data: Path, tmp_path: Path, digests: dict[str, str]) -> None:
    other = save(tiny_lm(StemLayout.parse("bass:1,drums:2,other:1")), tmp_path / "other", {})
    with pytest.raises(StemsError, match="bass:1,drums:2,other:1"):
        describe(config(data, tmp_path, start_from=str(other)), LAYOUT, digests)


def test_a_musicgen_of_other_codes_is_refused(data: Path, tmp_path: Path, digests: dict[str, str]) -> None:
    lm = tiny_lm(MUSICGEN)
    other = StemLM(replace(lm.config, cardinality=32))
    with pytest.raises(StemsError, match=r"32 codes per stream .* 16"):
        describe(config(data, tmp_path, start_from=str(save(other, tmp_path / "m", {}))), LAYOUT, digests)


def test_adapters_end_merged_in_an_ordinary_model(data: Path, tmp_path: Path, trained: Path) -> None:
    result = train_lm(config(data, tmp_path / "run", start_from=str(trained), lora_rank=2))
    names = changed(trained, result.directory)
    assert names
    assert all(name.startswith("transformer.blocks.") and "norm" not in name for name in names)
    assert StemLM.load(result.directory).digest() != StemLM.load(trained).digest()


def test_with_adapters_the_tables_of_new_stems_are_still_learned(data: Path, tmp_path: Path, musicgen: Path) -> None:
    chosen = config(data, tmp_path / "run", start_from=str(musicgen), lora_rank=2)
    lm = first_model(chosen, describe(chosen, LAYOUT, {}))
    learned = {name for name, p in lm.named_parameters() if p.requires_grad}
    assert {name for name in learned if ".blocks." not in name} == {
        "transformer.embedding.weight",
        "transformer.heads.weight",
    }


def test_adapters_learn_the_same_spread_over_two_workers(data: Path, tmp_path: Path, trained: Path) -> None:
    chosen = {"start_from": str(trained), "lora_rank": 2, "batch": 5}
    metrics, expected = run_workers(config(data, tmp_path / "one", **chosen), 1, adapted_gradients)
    both = config(data, tmp_path / "two", **chosen, sharding="fsdp", recompute=True, accumulate=2)
    theirs, found = run_workers(both, 2, adapted_gradients)
    assert theirs == pytest.approx(metrics, abs=1e-5)
    assert expected.keys() == found.keys()
    assert {name.rpartition(".")[2] for name in found} == {"up", "down"}
    for kind in ("up", "down"):
        assert max(float(grad.abs().max()) for name, grad in expected.items() if name.endswith(kind)) > 1e-3
    for name, grad in found.items():
        torch.testing.assert_close(grad, expected[name], rtol=0, atol=1e-5, msg=name)


def test_a_stopped_run_with_adapters_ends_as_if_it_had_not_stopped(data: Path, tmp_path: Path, trained: Path) -> None:
    chosen = {"start_from": str(trained), "lora_rank": 2, "learning_rate": 1e-3, "recompute": True}
    whole = train_lm(config(data, tmp_path / "whole", **chosen))
    train_lm(config(data, tmp_path / "parts", **chosen, checkpoint_every=2))
    for left in ("model", "checkpoints/step-4"):
        shutil.rmtree(tmp_path / "parts" / left)
    parts = train_lm(config(data, tmp_path / "parts", **chosen))
    ours, theirs = weights(parts.directory), weights(whole.directory)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
