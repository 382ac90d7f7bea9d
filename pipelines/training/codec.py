"""Train one stem codec on stems: spectral and waveform loss, codebooks by moving average."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.codec.codec import Reconstruction, build_codec
from models.codec.losses import LossWeights, MelScales, mel_distance, reconstruction_loss
from models.codec.metrics import codebook_use
from models.codec.quantizer import QuantizerSettings, start_codebooks, update_codebooks
from models.presets import CODEC_SIZES
from pipelines.evaluation.sdr import si_sdr
from pipelines.training.codec_config import CodecTraining
from pipelines.training.loop import TrainingResult, train
from pipelines.training.recipe import Place, Recipe
from pipelines.training.sampler import share
from pipelines.training.stems import StemCrops, find_stems, hold_out

EXCERPTS = 12
EXCERPT_SECONDS = 4.0
START_VECTORS = 8
"""Vectors for each code that start the codebooks, from as many batches as that takes."""


def train_codec(config: CodecTraining) -> TrainingResult:
    """Train a codec; its directory opens in ``StemCodec.load`` and in transformers.

    The history's first row holds the validation metrics of the untrained codec, with random-normal codebooks.
    """
    return train(config, partial(CodecRecipe, config))


class CodecRecipe(Recipe):
    """What the training loop needs to train a stem codec."""

    def __init__(self, config: CodecTraining) -> None:
        self.config = config
        self.codec = build_codec(CODEC_SIZES[config.preset], config.codebooks)
        self.module = self.codec
        self.weights = LossWeights()
        self.quantizer = QuantizerSettings(decay=config.codebook_decay)
        self.train_crops: StemCrops
        self.held_out: np.ndarray
        self.place: Place
        self.device: torch.device
        self.mels: MelScales
        self.last: Reconstruction

    def prepare(self, place: Place) -> None:
        """Find the stems and split off the songs for validation."""
        config, rate = self.config, self.codec.sample_rate
        learn, keep = hold_out(find_stems(config.stems, config.stem), config.held_out)
        self.train_crops = StemCrops(learn, rate, config.memory_gb * 2**30)
        self.held_out = StemCrops(keep, rate, 2**28).excerpts(EXCERPTS, round(EXCERPT_SECONDS * rate))
        self.place, self.device = place, place.device
        self.mels = MelScales(rate).to(place.device)

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Reconstruction and commitment loss of this worker's crops."""
        if step == 0:
            self._start_codebooks()
        wav = self._crops(step, indices)
        self.last = module(wav)
        loss, parts = reconstruction_loss(self.mels, self.last, wav, self.weights)
        return loss, parts

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with EnCodec's betas."""
        return torch.optim.Adam(parameters, betas=(0.5, 0.9))

    def after_step(self, step: int) -> None:
        """Move the codebooks towards what chose them."""
        books, last = self.codec.network.quantizer, self.last
        update_codebooks(books, last.latent, last.codes, self.config.seed, step, self.quantizer)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """SI-SDR, mel distance and codebook use on excerpts of held-out songs, through real codes.

        Means over excerpts, none of which is silent. Beside them: the mel distance of no sound at all, which a
        codec must beat, and the level in dB of what silence becomes.
        """
        ratios, distances, nothing, codes = [], [], [], []
        for excerpt in torch.from_numpy(self.held_out).to(self.device)[:, None, None]:
            codes.append(self.codec.encode(excerpt))
            sound = self.codec.decode(codes[-1])[..., : excerpt.shape[-1]]
            ratios.append(si_sdr(excerpt.cpu().numpy(), sound.cpu().numpy()))
            wanted = self.mels(excerpt)
            distances.append(float(mel_distance(self.mels(sound), wanted)))
            nothing.append(float(mel_distance(self.mels(torch.zeros_like(excerpt)), wanted)))
        metrics = {
            "si_sdr": float(np.mean(ratios)),
            "mel_distance": float(np.mean(distances)),
            "mel_distance_of_silence": float(np.mean(nothing)),
            "silence_level": self._silence_level(),
        }
        for number, use in enumerate(codebook_use(torch.cat(codes), self.codec.cardinality), start=1):
            metrics |= {f"perplexity_{number}": use.perplexity, f"used_codes_{number}": float(use.used)}
        return metrics

    def export(self, directory: Path) -> None:
        """Write the codec."""
        self.codec.save(directory)

    def _silence_level(self) -> float:
        """RMS in dB of two seconds of silence, encoded and decoded."""
        silence = torch.zeros(1, 1, 2 * self.codec.sample_rate, device=self.device)
        level = float(self.codec.decode(self.codec.encode(silence)).square().mean().sqrt())
        return 20 * math.log10(max(level, 1e-6))

    def _crops(self, step: int, indices: Sequence[int]) -> Tensor:
        """Some crops of a step, [indices, 1, samples]."""
        samples = round(self.config.crop_seconds * self.codec.sample_rate)
        drawn = [self.train_crops.draw(self.config.seed, step, index, samples) for index in indices]
        return torch.from_numpy(np.stack(drawn)).to(self.device)[:, None]

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        frames = self.config.batch * self.config.crop_seconds * self.codec.frame_rate
        batches = math.ceil(START_VECTORS * self.codec.cardinality / frames)
        mine = share(self.config.batch, self.place.rank, self.place.world)
        latents = [self.codec.latent(self._crops(step, mine)) for step in range(batches)]
        start_codebooks(self.codec.network.quantizer, torch.cat(latents), self.config.seed, self.quantizer)
