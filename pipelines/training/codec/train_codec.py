"""Train one stem codec on stems: balanced losses against a discriminator, codebooks by moving average."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.audio.files import Audio, write_audio
from models.codec.balancer import Balanced
from models.codec.codebook_use import codebook_use, perplexity
from models.codec.codec import StemCodec, build_codec
from models.codec.losses import LossWeights, mel_distance
from models.codec.network import with_codebooks
from models.codec.quantizer import (
    QuantizerSettings,
    all_workers,
    settle_codebooks,
    start_codebooks,
    update_codebooks,
)
from models.codec.trainer import CodecTrainer
from models.errors import StemsError
from models.files.licence import keep_licences
from models.presets import CODEC_SIZES, DISCRIMINATOR_SIZES
from pipelines.evaluation.sdr import si_sdr
from pipelines.training.codec.config import CodecTraining
from pipelines.training.codec.crops import StemCrops, find_stems, hold_out
from pipelines.training.data.prefetch import Ahead
from pipelines.training.data.sampler import parts, share
from pipelines.training.loop.recipe import Place, Recipe
from pipelines.training.loop.train import TrainingResult, train

EXCERPTS = 12
EXCERPT_SECONDS = 4.0
SAMPLES = 4
START_VECTORS = 8
"""Vectors per code for the initialisation of codebooks, from as many batches as necessary."""


def train_codec(config: CodecTraining) -> TrainingResult:
    """Train a codec; its directory opens in ``StemCodec.load`` and in transformers.

    The history's first row holds the validation metrics of the untrained codec, with random-normal codebooks.
    """
    there = config.with_absolute("output", "stems", "start_from")
    return train(config, partial(CodecRecipe, there))


class Seen(NamedTuple):
    """Data of a micro-batch for the updates after the step."""

    latent: Tensor
    codes: Tensor
    balanced: Balanced


class CodecRecipe(Recipe):
    """The recipe that trains a stem codec."""

    def __init__(self, config: CodecTraining) -> None:
        self.config = config
        self.codec = _first_codec(config)
        weights = LossWeights(adversarial=config.adversarial, wave=config.wave)
        self.trainer = CodecTrainer(self.codec, weights, DISCRIMINATOR_SIZES[config.preset or "paper"])
        self.module = self.trainer
        self.quantizer = QuantizerSettings(decay=config.codebook_decay)
        self.crops: StemCrops
        self.held_out: np.ndarray
        self.device: torch.device
        self.parts: list[range]
        self.sounds: Ahead[tuple[int, int], Tensor]
        self.seen: deque[Seen]

    def prepare(self, place: Place) -> None:
        """Find the stems and split off the songs for validation."""
        config, rate = self.config, self.codec.sample_rate
        files = find_stems(config.stems, config.stem, Path(config.output) / "stems")
        learn, keep = hold_out(files, config.held_out)
        self.crops = StemCrops(learn, rate, config.memory_gb * 2**30)
        self.held_out = StemCrops(keep, rate, 0).excerpts(EXCERPTS, round(EXCERPT_SECONDS * rate))
        self.device = place.device
        mine = share(config.batch, place.rank, place.world)
        self.parts = parts(mine, min(config.accumulate, config.batch // place.world))
        self.sounds = Ahead(lambda part: self._crops(*part))
        self.seen = deque(maxlen=len(self.parts))

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """The codec's balanced losses and the discriminator's own; how many codes were replaced before this step."""
        part = [list(part) for part in self.parts].index(list(indices))
        if step == 0 and part == 0:
            self._start()
        after = (step, part + 1) if part + 1 < len(self.parts) else (step + 1, 0)
        passed = module(self.sounds.take((step, part), after).to(self.device))
        self.seen.append(Seen(passed.made.latent.detach(), passed.made.codes, passed.balanced))
        values = torch.stack(list(passed.parts.values())).tolist()
        counts = self.trainer.replaced.tolist()
        replaced = {f"replaced_codes_{number}": float(count) for number, count in enumerate(counts, start=1)}
        return passed.loss, dict(zip(passed.parts, values, strict=True)) | replaced

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with EnCodec's betas, for codec and discriminator alike."""
        return torch.optim.Adam(parameters, betas=(0.5, 0.9), fused=True)

    def after_step(self, step: int) -> None:
        """Move the codebooks towards their vectors, and update the balancer's averages."""
        latent = torch.cat([part.latent for part in self.seen])
        codes = torch.cat([part.codes for part in self.seen])
        books, seed = self.codec.network.quantizer, self.config.seed
        self.trainer.replaced += update_codebooks(books, latent, codes, seed, step, self.quantizer)
        self.trainer.balancer.update([part.balanced for part in self.seen])

    def validate(self, module: nn.Module) -> dict[str, float]:
        """SI-SDR, mel distance and codebook use on excerpts of held-out songs, through real codes.

        Means over excerpts, none of which is silent. Beside them: the mel distance of no sound at all, which a
        codec must beat, and the level in dB of what silence becomes. ``unused_codes`` is the share of a codebook
        that no excerpt needs; ``training_perplexity`` tells how evenly codes were chosen over the last steps, of
        which there are more. In float32, as codes are made later.
        """
        ratios, distances, nothing, codes = [], [], [], []
        mels = self.trainer.mels
        with torch.autocast(self.device.type, enabled=False):
            for excerpt in torch.from_numpy(self.held_out).to(self.device)[:, None, None]:
                codes.append(self.codec.encode(excerpt))
                sound = self.codec.decode(codes[-1])[..., : excerpt.shape[-1]]
                ratios.append(si_sdr(excerpt.cpu().numpy(), sound.cpu().numpy()))
                wanted = mels(excerpt)
                distances.append(float(mel_distance(mels(sound), wanted)))
                nothing.append(float(mel_distance(mels(torch.zeros_like(excerpt)), wanted)))
            silence_level = self._silence_level()
        metrics = {
            "si_sdr": float(np.mean(ratios)),
            "mel_distance": float(np.mean(distances)),
            "mel_distance_of_silence": float(np.mean(nothing)),
            "silence_level": silence_level,
        }
        size = self.codec.cardinality
        for number, use in enumerate(codebook_use(torch.cat(codes), size), start=1):
            metrics |= {f"perplexity_{number}": use.perplexity, f"used_codes_{number}": float(use.used)}
            metrics |= {f"unused_codes_{number}": 1 - use.used / size}
            chosen = self.codec.network.quantizer.layers[number - 1].codebook.cluster_size
            metrics[f"training_perplexity_{number}"] = perplexity(chosen)
        return metrics

    def sample(self, directory: Path) -> None:
        """Write a few held-out excerpts, each beside its reconstruction."""
        for number, excerpt in enumerate(self.held_out[:SAMPLES], start=1):
            codes = self.codec.encode(torch.from_numpy(excerpt).to(self.device)[None, None])
            decoded = self.codec.decode(codes)[0, :, : len(excerpt)].cpu().numpy()
            for name, sound in (("original", excerpt[None]), ("decoded", decoded)):
                write_audio(directory / f"{number}-{name}.flac", Audio(sound, self.codec.sample_rate))

    def export(self, directory: Path) -> None:
        """Write the codec, without discriminator and losses."""
        for layer in self.codec.network.quantizer.layers:
            layer.codebook.inited.fill_(1.0)  # an averaged mark is not quite 1
        self.codec.save(directory)
        if self.config.start_from:
            keep_licences([Path(self.config.start_from)], directory)

    def _silence_level(self) -> float:
        """RMS in dB of two seconds of silence, encoded and decoded."""
        silence = torch.zeros(1, 1, 2 * self.codec.sample_rate, device=self.device)
        level = float(self.codec.decode(self.codec.encode(silence)).square().mean().sqrt())
        return 20 * math.log10(max(level, 1e-6))

    def _crops(self, step: int, part: int) -> Tensor:
        """The crops of a part of a step, [items, 1, samples], on the CPU."""
        samples = round(self.config.crop_seconds * self.codec.sample_rate)
        drawn = [self.crops.draw(self.config.seed, step, index, samples) for index in self.parts[part]]
        return torch.from_numpy(np.stack(drawn))[:, None]

    @torch.no_grad()
    def _start(self) -> None:
        """Fit new codebooks to the first batches, and the balancer's averages to the first one."""
        with torch.autocast(self.device.type, enabled=False):
            first = self._latent(0)
            batches = math.ceil(START_VECTORS * self.codec.cardinality / (len(first) * first.shape[-1]))
            latent = torch.cat([first, *(self._latent(step) for step in range(1, batches))])
            start_codebooks(self.codec.network.quantizer, latent, self.config.seed, self.quantizer)
            settle_codebooks(self.codec.network.quantizer, len(first) * first.shape[-1])
        with torch.enable_grad():
            every = [self._crops(0, part).to(self.device) for part in range(len(self.parts))]
            self.trainer.balancer.update([self.trainer(sounds).balanced for sounds in every])

    def _latent(self, step: int) -> Tensor:
        """The latents of a whole step, the same on all workers."""
        every = [self._crops(step, part).to(self.device) for part in range(len(self.parts))]
        return all_workers(torch.cat([self.codec.latent(sounds) for sounds in every]))


def _first_codec(config: CodecTraining) -> StemCodec:
    """The initial codec: random, or the one in start_from with the configured number of codebooks."""
    if not config.start_from:
        return build_codec(CODEC_SIZES[config.preset or "paper"], config.codebooks)
    if config.preset:
        raise StemsError(
            f"preset={config.preset} and start_from={config.start_from} both define the codec's size.",
            "Leave preset out: the codec in start_from has its own size.",
            field="preset",
        )
    return StemCodec(with_codebooks(StemCodec.load(config.start_from).network, config.codebooks))
