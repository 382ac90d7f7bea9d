"""Reconstruction losses of a codec: spectral distance at several scales, and waveform distance.

The adversarial part is in :mod:`models.codec.discriminator`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

WINDOWS = tuple(2**power for power in range(6, 12))
FLOOR = 1e-3
"""−60 dB: floor of the spectrograms. Without it, inaudible noise would dominate the distance of logarithms."""


class MelScales(nn.Module):
    """Mel magnitude spectrograms at several window sizes, hop a quarter of the window.

    Scaled so that a full-scale sine is about 1 at its peak, whatever the window; ``FLOOR`` is then −60 dB.
    Short windows have too few frequency bins for 64 mels: they get an eighth of their length (64 from 512 on).
    """

    def __init__(self, sample_rate: int, windows: tuple[int, ...] = WINDOWS, mels: int = 64, low: float = 64.0):
        super().__init__()
        from torchaudio.transforms import MelSpectrogram  # pure Python part

        self.scales = nn.ModuleList(
            MelSpectrogram(
                sample_rate,
                n_fft=window,
                hop_length=window // 4,
                n_mels=min(mels, window // 8),
                f_min=low,
                power=1.0,
                window_fn=_unit_window,
            )
            for window in windows
        )

    def forward(self, wav: Float[Tensor, "batch 1 samples"]) -> list[Tensor]:
        """One spectrogram [batch, mels, time] per scale."""
        return [scale(wav[:, 0]) for scale in self.scales]


def _unit_window(length: int) -> Tensor:
    window = torch.hann_window(length)
    return window * (2 / window.sum())


def mel_distance(ours: list[Tensor], theirs: list[Tensor]) -> Float[Tensor, ""]:
    """Mean over scales of the mean absolute difference of log mels, in nepers (1 = 8.7 dB).

    Args:
        ours: spectrograms of :class:`MelScales`.
        theirs: spectrograms of the other sound.
    """
    return torch.stack([(_log(a) - _log(b)).abs().mean() for a, b in zip(ours, theirs, strict=True)]).mean()


def _log(mel: Tensor) -> Tensor:
    return (mel + FLOOR).log()


@dataclass(frozen=True)
class LossWeights:
    """Loss weights, by default of MusicGen's codec; all except the commitment are shares of the balanced gradient.

    ``adversarial`` weighs both the adversarial and the feature loss; 0 trains without a discriminator.
    """

    adversarial: float = 4.0
    mel: float = 2.0
    wave: float = 0.1
    commitment: float = 1.0


def mel_loss(
    mels: MelScales, ours: Float[Tensor, "batch 1 n"], wanted: Float[Tensor, "batch 1 n"]
) -> Float[Tensor, ""]:
    """L1 distance of mels and of their logarithms, so that loud and faint parts count. A mean over items."""
    made, true = mels(ours), mels(wanted)
    linear = torch.stack([(a - b).abs().mean() for a, b in zip(made, true, strict=True)]).mean()
    return linear + mel_distance(made, true)


def wave_loss(ours: Float[Tensor, "batch 1 n"], wanted: Float[Tensor, "batch 1 n"]) -> Float[Tensor, ""]:
    """L1 distance of the waveforms, a mean over items. The balancer sets its scale."""
    return (ours - wanted).abs().mean()
