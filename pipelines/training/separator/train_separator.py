"""Train a Demucs on songs with known stems, and measure it on held-out songs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.presets import SEPARATOR_SIZES
from models.separation import Separator, build_htdemucs, save_separator
from models.separation.vocals import VOCALS, best_threshold
from pipelines.evaluation.sdr import sdr
from pipelines.training.data.sampler import rng
from pipelines.training.loop.recipe import Place, Recipe
from pipelines.training.loop.train import TrainingResult, train
from pipelines.training.separator.config import SeparatorTraining
from pipelines.training.separator.multitracks import Mixer, Multitrack, Wave, hold_out, read_multitracks

SONGS_PER_VOICE = 4
"""Held-out songs over which each held-out voice is laid to measure the vocal threshold, its own among them."""


def train_separator(config: SeparatorTraining) -> TrainingResult:
    """Train on the multitrack folder and export the separator, with its vocal threshold where it hears vocals."""
    there = config.with_absolute("output", "data")
    return train(config, partial(SeparatorRecipe, there))


class SeparatorRecipe(Recipe):
    """The recipe that trains a separator: squared error on the waveforms of remixed stems."""

    def __init__(self, config: SeparatorTraining) -> None:
        self.config = config
        self.size = SEPARATOR_SIZES[config.preset]
        self.module = build_htdemucs(self.size)
        self.mixer: Mixer
        self.held_out: list[Multitrack]
        self.device: torch.device

    def prepare(self, place: Place) -> None:
        """Read the songs."""
        config, rate = self.config, int(self.module.samplerate)
        copies = Path(config.output) / "stems"
        songs = read_multitracks(config.data, self.size.sources, rate, config.memory_gb, copies)
        train_songs, self.held_out = hold_out(songs, config.held_out)
        self.mixer = Mixer(
            songs=train_songs,
            sources=self.size.sources,
            samples=int(self.size.segment * rate),
            rare=VOCALS,
            rare_share=config.vocal_share,
            remix_share=config.remix_share,
        )
        self.device = place.device

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam without weight decay, as Demucs uses."""
        return torch.optim.Adam(parameters, betas=(0.9, 0.999))

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error over sources, in units of the mix's variance.

        SDR measures the same error. With Demucs' own L1, a stem that is often silent and hard to distinguish could
        stay silent: the most likely sample, but useless for detecting vocals.
        """
        examples = [self.mixer.draw(rng(self.config.seed, step, index)) for index in indices]
        stems = torch.from_numpy(np.stack(examples)).to(self.device)
        errors = (module(stems.sum(1)) - stems).square().mean(dim=(0, 2, 3))
        named = {f"mse/{name}": float(e) for name, e in zip(self.size.sources, errors.detach(), strict=True)}
        return errors.mean(), named

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Per stem, the mean SDR in dB over the held-out songs that have it, and that of the mix as the estimate."""
        separator = self._separator()
        songs = [song.whole(self.size.sources) for song in self.held_out]
        got: dict[str, list[float]] = {}
        for stems in songs:
            mix = stems.sum(0)
            [estimate] = separator.separate([mix])
            for name, stem in zip(self.size.sources, stems, strict=True):
                if stem.any():
                    got.setdefault(f"sdr/{name}", []).append(sdr(stem, estimate[name]))
                    got.setdefault(f"sdr_of_mix/{name}", []).append(sdr(stem, mix))
        metrics = {name: float(np.mean(values)) for name, values in got.items()}
        if VOCALS in self.size.sources:
            threshold, accuracy = self._vocal_threshold(separator)
            metrics |= {"vocal_threshold": threshold, "vocal_accuracy": accuracy}
        return metrics

    def export(self, directory: Path) -> None:
        """Write the separator, and the vocal threshold that its held-out songs give."""
        self.prepare(Place(0, 1, torch.device("cpu")))
        hears_vocals = VOCALS in self.size.sources
        threshold = self._vocal_threshold(self._separator())[0] if hears_vocals else None
        save_separator(self.module, directory, threshold)

    def _separator(self) -> Separator:
        return Separator([self.module], device=str(self.device))

    def _vocal_threshold(self, separator: Separator) -> tuple[float, float]:
        """The score that parts held-out songs without their vocals from the same with a voice, and how well.

        The voices are the held-out ones, each over its own song and over others: few songs then give enough pairs.
        """
        vocals = self.size.sources.index(VOCALS)
        songs = [song.whole(self.size.sources) for song in self.held_out]
        instrumental = [np.delete(stems, vocals, axis=0).sum(0) for stems in songs]
        voices = [(k, stems[vocals]) for k, stems in enumerate(songs) if stems[vocals].any()]
        sung = [
            _together(instrumental[(k + shift) % len(songs)], voice)
            for k, voice in voices
            for shift in range(min(SONGS_PER_VOICE, len(songs)))
        ]
        return best_threshold(separator.vocal_score(instrumental), separator.vocal_score(sung))


def _together(song: Wave, voice: Wave) -> Wave:
    """A voice over a song; the song's length is that of the shorter."""
    length = min(song.shape[1], voice.shape[1])
    return song[:, :length] + voice[:, :length]
