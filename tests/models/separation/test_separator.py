"""The separator against demucs' own arithmetic, its directories and its refusals."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.htdemucs import HTDemucs
from demucs.states import save_with_checksum

from models.errors import StemsError
from models.separation import Separator, SeparatorSize, build_htdemucs, save_separator
from models.separation.quality import residual_db
from models.separation.vocals import DEFAULT_THRESHOLD
from pipelines.evaluation.sdr import si_sdr

RATE = 44100
SIZE = SeparatorSize(
    sources=("drums", "bass", "other", "vocals"),
    segment=0.5,
    channels=8,
    nfft=2048,
    transformer_layers=1,
    transformer_heads=2,
)


@pytest.fixture(scope="module")
def network() -> HTDemucs:
    torch.manual_seed(0)
    return build_htdemucs(SIZE).eval()


def song(samples: int, seed: int = 0) -> np.ndarray:
    """Without an offset: there this separator and demucs agree."""
    wave = 0.1 * np.random.default_rng(seed).standard_normal((2, samples))
    return (wave - wave.mean(1, keepdims=True)).astype(np.float32)


def demucs_own(model: torch.nn.Module, wave: np.ndarray) -> np.ndarray:
    """What demucs.api.Separator computes with shifts=0. To songs with an offset it adds that in each source."""
    mix = torch.from_numpy(wave)
    reference = mix.mean(0)
    mean, deviation = reference.mean(), reference.std() + 1e-8
    out = apply_model(model, ((mix - mean) / deviation)[None], shifts=0, split=True, overlap=0.25)[0]
    return (out * deviation + mean).numpy()


def test_equals_demucs_for_songs_of_any_length(network: HTDemucs) -> None:
    segment = RATE // 2
    lengths = [segment // 3, segment, segment + 1, 3 * segment + 777, 2 * int(0.75 * segment)]
    songs = [song(n, seed) for seed, n in enumerate(lengths)]
    for wave, stems in zip(songs, Separator([network], batch=4).separate(songs), strict=True):
        assert tuple(stems) == SIZE.sources
        expected = demucs_own(network, wave)
        for k, name in enumerate(SIZE.sources):
            assert stems[name].shape == wave.shape
            assert stems[name].dtype == np.float32
            np.testing.assert_allclose(stems[name], expected[k], atol=2e-5)
            assert si_sdr(expected[k], stems[name]) > 60


@pytest.mark.parametrize("offset", [(0.05, 0.05), (0.2, 0.2), (0.3, -0.1)])
def test_an_offset_is_in_no_stem_and_changes_nothing_else(network: HTDemucs, offset: tuple[float, float]) -> None:
    wave = song(70_000)
    shifted = wave + np.array(offset, np.float32)[:, None]
    plain, found = Separator([network]).separate([wave, shifted])
    for name in SIZE.sources:
        np.testing.assert_allclose(found[name], plain[name], atol=1e-5)
    assert residual_db(shifted, found) == pytest.approx(residual_db(wave, plain), abs=0.01)


def test_stems_of_a_song_with_an_offset_sum_to_the_song_without_it() -> None:
    wave = song(5000)
    (stems,) = Separator([Halves()]).separate([wave + np.float32(0.25)])
    np.testing.assert_allclose(stems["left"] + stems["right"], wave, atol=1e-6)


def test_demucs_gives_each_source_the_offset(network: HTDemucs) -> None:
    """The departure from demucs, which is stated in models/separation/overlap_add.py."""
    wave = song(30_000) + np.float32(0.05)
    theirs = demucs_own(network, wave)
    (ours,) = Separator([network]).separate([wave])
    for k, name in enumerate(SIZE.sources):
        np.testing.assert_allclose(theirs[k] - ours[name], 0.05, atol=1e-4)


class Positional(torch.nn.Module):
    """A network whose output depends on where in the segment a sample lies, so that every weight shows."""

    sources = ("up", "down")
    samplerate = RATE
    segment = 0.01
    anything = torch.nn.Parameter(torch.zeros(1))

    def valid_length(self, length: int) -> int:
        return int(self.segment * RATE)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        place = torch.linspace(0, 1, mix.shape[-1])
        return torch.stack([mix * place, mix * (1 - place**2)], dim=1)


class Halves(Positional):
    """Two sources that add up to what comes in."""

    sources = ("left", "right")

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.25 * mix, 0.75 * mix], dim=1)


def test_cross_fades_as_demucs_does() -> None:
    songs = [song(n, seed) for seed, n in enumerate((100, 441, 5000))]
    for wave, stems in zip(songs, Separator([Positional()]).separate(songs), strict=True):
        np.testing.assert_allclose(np.stack(list(stems.values())), demucs_own(Positional(), wave), atol=1e-6)


def test_equals_demucs_for_a_weighted_bag(network: HTDemucs) -> None:
    torch.manual_seed(1)
    networks = [network, build_htdemucs(SIZE).eval()]
    weights = [[1.0, 0.0, 2.0, 0.5], [0.0, 1.0, 1.0, 0.5]]
    wave = song(RATE)
    expected = demucs_own(BagOfModels(networks, weights), wave)
    (stems,) = Separator(networks, weights).separate([wave])
    np.testing.assert_allclose(np.stack(list(stems.values())), expected, atol=2e-5)


def test_a_song_comes_out_the_same_in_other_company(network: HTDemucs) -> None:
    separator = Separator([network], batch=3)
    (alone,) = separator.separate([song(40_000, 1)])
    beside = separator.separate([song(50_000, 2), song(40_000, 1)])[1]
    for name in separator.sources:
        np.testing.assert_allclose(alone[name], beside[name], atol=1e-5)


class Counting(Positional):
    """Counts the segments that it computes."""

    sources = ("rest", "vocals")

    def __init__(self) -> None:
        super().__init__()
        self.segments = 0

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        self.segments += len(mix)
        return super().forward(mix)


def test_what_was_heard_is_not_computed_again() -> None:
    network, songs = Counting(), [song(n, seed) for seed, n in enumerate((100, 5000, 2000))]
    separator = Separator([network], batch=3)
    expected = separator.separate(songs)
    computed, network.segments = network.segments, 0
    probes = separator.listen(songs)
    assert all(probe.heard for probe in probes)
    heard, network.segments = network.segments, 0
    separated = separator.separate(songs, [probes[0], None, probes[2]])
    assert network.segments == computed - len(probes[0].heard) - len(probes[2].heard)
    for mine, theirs in zip(separated, expected, strict=True):
        for name in separator.sources:
            np.testing.assert_allclose(mine[name], theirs[name], atol=1e-6)
    assert heard == sum(len(probe.heard) for probe in probes)


def test_probed_songs_come_out_as_they_would_without(network: HTDemucs) -> None:
    separator, songs = Separator([network], batch=3), [song(70_000, 1), song(9_000, 2)]
    probes = separator.listen(songs)
    for mine, theirs in zip(separator.separate(songs, probes), separator.separate(songs), strict=True):
        for name in separator.sources:
            np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5)


@pytest.mark.parametrize("complex_output", [True, False])
def test_bfloat16_agrees_with_float32(complex_output: bool) -> None:
    torch.manual_seed(0)
    network = build_htdemucs(SeparatorSize(**{**SIZE.__dict__, "complex_output": complex_output}))
    (exact,) = Separator([network], precision="float32").separate([song(30_000)])
    (near,) = Separator([network], precision="bfloat16").separate([song(30_000)])
    for name, stem in near.items():
        assert stem.dtype == np.float32
        assert 25 < si_sdr(exact[name], stem) < 80  # above, nothing would have been rounded


def test_the_attention_setting_of_others_is_left_alone(network: HTDemucs) -> None:
    for enabled in (True, False):
        torch.backends.mha.set_fastpath_enabled(enabled)
        Separator([network]).separate([song(1000)])
        assert torch.backends.mha.get_fastpath_enabled() is enabled
    torch.backends.mha.set_fastpath_enabled(True)


def test_networks_of_different_segments_are_refused(network: HTDemucs) -> None:
    other = build_htdemucs(SeparatorSize(**{**SIZE.__dict__, "segment": 0.75}))
    with pytest.raises(StemsError, match="differ in segment"):
        Separator([network, other])


def test_mono_is_refused(network: HTDemucs) -> None:
    with pytest.raises(StemsError, match="stereo"):
        Separator([network]).separate([np.zeros((1, 1000), np.float32)])


def test_directory_round_trip(network: HTDemucs, tmp_path: Path) -> None:
    save_separator(network, tmp_path, vocal_threshold=0.07)
    loaded = Separator.load(tmp_path)
    original = Separator([network])
    assert loaded.vocal_threshold == 0.07
    assert (loaded.sources, loaded.sample_rate) == (SIZE.sources, RATE)
    wave = song(20_000)
    for name, stem in loaded.separate([wave])[0].items():
        np.testing.assert_array_equal(stem, original.separate([wave])[0][name])
    assert json.loads((tmp_path / "config.json").read_text())["arguments"]["channels"] == 8


def test_a_threshold_of_another_score_is_not_used(network: HTDemucs, tmp_path: Path) -> None:
    save_separator(network, tmp_path, vocal_threshold=0.07)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["vocal_score"]  # as releases before wrote it
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Separator.load(tmp_path).vocal_threshold == DEFAULT_THRESHOLD


def test_fractional_segments_survive(tmp_path: Path) -> None:
    model = HTDemucs(["vocals", "rest"], channels=8, nfft=2048, t_layers=0, segment=Fraction(39, 50))
    save_separator(model, tmp_path)
    assert Separator.load(tmp_path).segment_seconds == int(44100 * Fraction(39, 50)) / 44100


@pytest.mark.parametrize("damage", ["config", "weights", "arguments", "missing"])
def test_damaged_directories_are_named(network: HTDemucs, tmp_path: Path, damage: str) -> None:
    save_separator(network, tmp_path)
    if damage == "config":
        (tmp_path / "config.json").write_text("{")
    elif damage == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    elif damage == "arguments":
        config = json.loads((tmp_path / "config.json").read_text())
        config["arguments"]["channels"] = 16
        (tmp_path / "config.json").write_text(json.dumps(config))
    else:
        (tmp_path / "model.safetensors").unlink()
    with pytest.raises(StemsError, match=tmp_path.name) as caught:
        Separator.load(tmp_path)
    assert "Copy" in caught.value.hint


def package(model: HTDemucs) -> dict[str, object]:
    args, kwargs = model._init_args_kwargs
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return {"klass": HTDemucs, "args": args, "kwargs": kwargs, "state": state, "training_args": {"lr": 3e-4}}


def test_local_demucs_repositories(network: HTDemucs, tmp_path: Path) -> None:
    save_with_checksum(package(network), tmp_path / "abc.th")
    alone = Separator.load(tmp_path)
    (tmp_path / "bag.yaml").write_text("models: ['abc', 'abc']\nweights: [[1, 1, 1, 1], [0, 1, 2, 3]]\n")
    wave = song(20_000)
    stems = Separator.load(tmp_path / "bag.yaml").separate([wave])[0]
    own = Separator([network]).separate([wave])[0]
    for name, stem in alone.separate([wave])[0].items():
        np.testing.assert_array_equal(stem, own[name])
        np.testing.assert_allclose(stems[name], stem, atol=1e-5)


def test_local_repositories_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"klass": HTDemucs, "args": [], "kwargs": {}, "state": Trap()}, tmp_path / "abc.th")
    with pytest.raises(StemsError, match=r"abc\.th"):
        Separator.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_what_cannot_be_found_names_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StemsError, match=r"neither config\.json nor a demucs model"):
        Separator.load(tmp_path)
    with pytest.raises(StemsError, match="'htdemux' is neither a directory nor a released"):
        Separator.load("htdemux")
    (tmp_path / "a.th").touch()
    (tmp_path / "b.th").touch()
    with pytest.raises(StemsError, match=r"holds 2 models.*a\.th"):
        Separator.load(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StemsError, match=r"htdemucs.*could not be downloaded") as caught:
        Separator.load("htdemucs")
    assert "stems train separator" in caught.value.hint
