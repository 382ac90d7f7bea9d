"""Makes ``release.safetensors``: what a small release computes, worked out without the project's own models.

    python -m golden.make        # in tests/

The release is in the authors' format, every weight a function of its name (``write_golden_release``), so that no
weights are stored. Its language model is computed by ``plain_lm``, its codecs by transformers' EncodecModel, whole.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from golden.plain_lm import PlainLM
from helpers.release import write_release
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.codec.codec import build_codec
from models.codec.size import CodecSize
from models.interchange.audiocraft_codec import load_codec
from models.interchange.audiocraft_lm import read_released
from models.lm.language_model import LMConfig, StemLM
from models.lm.text import TextConfig
from models.stems import MUSICGEN_STEM

HERE = Path(__file__).parent
VECTORS = "release.safetensors"
CARDINALITY, TEXT, WORDS, RATE = 32, 24, 7, 32_000
FRAMES, PROMPT, WRITTEN = 75, 14, 62


def write_golden_release(directory: Path) -> Path:
    """Write the release: tiny, in the authors' format, with weights that depend on nothing but their names."""
    size = CodecSize(filters=2, latent=16, cardinality=CARDINALITY, lstm_layers=2)
    text = TextConfig(kind="t5", name="t5-base", dim=TEXT)
    config = LMConfig(
        layout=MUSICGEN_STEM, cardinality=CARDINALITY, dim=32, heads=4, layers=2, segment_frames=1500, text=text
    )
    codecs = {stem.name: build_codec(size, stem.codebooks) for stem in MUSICGEN_STEM.stems}
    write_release(directory, StemLM(config), codecs)
    for file in directory.glob("*.bin"):
        content = torch.load(file, weights_only=True)
        for name, weight in content["best_state"].items():
            content["best_state"][name] = _weight(f"{file.name}:{name}", weight)
        torch.save(content, file)
    return directory


def _weight(name: str, weight: Tensor) -> Tensor:
    drawn = _normal(name, tuple(weight.shape))
    if name.endswith(("inited", "cluster_size")):
        return torch.ones_like(weight)
    if name.endswith((".embed", ".embed_avg")):  # the same, as after a training's last step
        layer = int(name.split(".layers.")[1].split(".")[0])
        return 0.8 * 0.6**layer * _normal(name.removesuffix("_avg"), tuple(weight.shape))
    if "norm" in name and name.endswith(".weight"):
        return 1 + 0.1 * drawn
    if name.endswith("weight_g"):
        return 1.25 + 0.2 * drawn
    if weight.ndim == 1:
        return 0.1 * drawn
    fan_in = weight[0].numel()
    return 1.5 * drawn / fan_in**0.5


def _normal(name: str, shape: tuple[int, ...]) -> Tensor:
    """Normal draws that depend on the name: this generator's numbers are fixed for all versions of numpy."""
    draws = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy(draws.astype(np.float32))


def sound() -> Tensor:
    """Half a second of tones under noise, which fall silent towards the end."""
    time = torch.arange(RATE // 2) / RATE
    tones = sum(torch.sin(2 * torch.pi * pitch * time) for pitch in (55.0, 220.0, 1760.0))
    return ((0.2 * tones + 0.1 * _normal("sound", (RATE // 2,))) * torch.exp(-4 * time))[None, None]


def language_model_vectors(lm: PlainLM) -> dict[str, Tensor]:
    """What the language model makes of seeded tokens and texts."""
    draws = np.random.RandomState(1)
    codes = torch.from_numpy(draws.randint(CARDINALITY, size=(2, 6, FRAMES)))
    states = _normal("text", (2, WORDS, TEXT))
    valid = torch.arange(WORDS) < torch.tensor([[WORDS], [4]])
    target = codes[..., :WRITTEN]
    prompt = torch.full((2, 6, PROMPT), CARDINALITY)  # the last column is the transition
    prompt[..., :-1] = target[..., ::5]
    prompt[0, :1, :], prompt[1, 1:, :] = (
        CARDINALITY,
        CARDINALITY,
    )  # bass is hidden in one, drums and other in the other
    edit = torch.cat([prompt, target], dim=-1)

    text = lm.text(states, valid)
    logits, counts = lm.aligned_logits(codes, text)
    loss = lm.loss(edit, text, PROMPT)
    unknown = torch.zeros(2, 6, FRAMES + 1, dtype=torch.bool)
    from_text, closest = lm.greedy(codes[..., :40], unknown[..., :40], text)
    in_prompt = unknown.clone()
    in_prompt[..., :PROMPT] = True
    free, close = lm.greedy(edit, in_prompt, text)
    forced_drums = in_prompt.clone()
    forced_drums[:, 1] = True
    forced, closer = lm.greedy(edit, forced_drums, text)
    check_margin(min(closest, close, closer))
    return {
        "lm.codes": codes.to(torch.int16),
        "lm.t5_hidden": states,
        "lm.t5_mask": valid.to(torch.int8),
        "lm.logits": logits,
        "lm.logits_mask": counts.expand_as(codes).to(torch.int8),
        "edit.sequence": edit.to(torch.int16),
        "edit.loss": loss.mean(),
        "edit.loss_per_stream": loss,
        "gen.greedy_cfg3": from_text.to(torch.int16),
        "edit.greedy_cfg3_free": free[..., PROMPT:].to(torch.int16),
        "edit.greedy_cfg3_drums_forced": forced[..., PROMPT:].to(torch.int16),
    }


def codec_vectors(release: Path) -> dict[str, Tensor]:
    """What each codec makes of the sound, in one piece, as transformers computes it."""
    vectors = {"wav": sound()}
    for file in sorted(release.glob("compression_state_dict_*.bin")):
        stem = file.stem.rpartition("_")[2]
        network = load_codec(read_released(file)).network
        latent = network.encoder(vectors["wav"])
        codes, quantized = nearest_codes(latent[0].T, [layer.codebook.embed for layer in network.quantizer.layers])
        vectors |= {
            f"{stem}.latent": latent,
            f"{stem}.codes": codes[None].to(torch.int16),
            f"{stem}.quantized": quantized.T[None],
            f"{stem}.decoded": network.decoder(quantized.T[None]),
        }
    return vectors


def nearest_codes(latent: Tensor, codebooks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Residual quantization: the nearest entry of each codebook to what those before it left over.

    Returns:
        Codes [codebooks, frames], and the sum of their entries [frames, latent].
    """
    codes, left = [], latent
    for codebook in codebooks:
        distances, nearest = torch.cdist(left, codebook).topk(2, largest=False)
        check_margin(float((distances[:, 1] - distances[:, 0]).min()))
        codes.append(nearest[:, 0])
        left = left - codebook[nearest[:, 0]]
    return torch.stack(codes), latent - left


def check_margin(margin: float) -> None:
    """Refuse vectors in which rounding could decide."""
    if margin < 1e-4:
        raise SystemExit(f"Two choices are as good as equal ({margin:.1e}): other machines may choose the other.")


def main() -> None:
    """Write the vectors beside this file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        release = write_golden_release(Path(folder) / "release")
        released = read_released(release / "state_dict.bin")
        vectors = language_model_vectors(PlainLM(released.weights, released.config)) | codec_vectors(release)
    save_file({name: value.contiguous() for name, value in vectors.items()}, HERE / VECTORS)
    for name, value in load_file(HERE / VECTORS).items():
        print(name, tuple(value.shape), value.unique().numel())


if __name__ == "__main__":
    main()
