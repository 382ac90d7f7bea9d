"""Discriminate real from decoded sound by its spectrum at several window sizes (EnCodec §3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from models.errors import StemsError

SLOPE = 0.2
TIME_DILATIONS = (1, 2, 4)
KERNEL = (3, 9)
"""Frames and frequencies of a convolution kernel. The paper has 3 × 8; an odd width is centred."""

FAINT = 1e-3
"""Mean magnitude below which the relative weight of a feature map's differences stops growing."""


@dataclass(frozen=True)
class DiscriminatorSize:
    """Channels of each layer, and window sizes, with one network per size; defaults are EnCodec's (§3.4)."""

    filters: int = 32
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)

    def __post_init__(self) -> None:
        if self.filters < 1 or not self.windows or any(window < 8 or window % 4 for window in self.windows):
            raise StemsError(
                f"A discriminator of {self.filters} filters and windows {self.windows} cannot be built.",
                "Use one filter or more, and windows that are multiples of 4 from 8 on.",
                field="discriminator",
            )


class Judgement(NamedTuple):
    """Output of one network for a batch: logits, high for real sound, and the feature maps before them."""

    logits: Float[Tensor, "batch 1 time frequency"]
    features: list[Tensor]


class Discriminator(nn.Module):
    """One convolutional network per window size. Items of a batch do not influence each other."""

    def __init__(self, size: DiscriminatorSize) -> None:
        super().__init__()
        self.scales = nn.ModuleList(SpectrumDiscriminator(size.filters, window) for window in size.windows)

    def forward(self, wav: Float[Tensor, "batch 1 samples"]) -> list[Judgement]:
        """One judgement per window size. ``wav`` must be longer than half the longest window."""
        return [scale(wav) for scale in self.scales]


class SpectrumDiscriminator(nn.Module):
    """A network on the complex spectrum (real and imaginary part as two channels), hop a quarter of the window."""

    window: Tensor

    def __init__(self, filters: int, window: int) -> None:
        super().__init__()
        shape = torch.hann_window(window)
        self.register_buffer("window", shape / shape.square().sum().sqrt(), persistent=False)
        layers = [_convolution(2, filters, KERNEL)]
        layers += [_convolution(filters, filters, KERNEL, stride=2, dilation=dilation) for dilation in TIME_DILATIONS]
        layers += [_convolution(filters, filters, (3, 3))]
        self.layers = nn.ModuleList(layers)
        self.last = _convolution(filters, 1, (3, 3))

    def forward(self, wav: Float[Tensor, "batch 1 samples"]) -> Judgement:
        """Logits and the output of each layer before them."""
        spectrum = self._spectrum(wav)
        values, features = torch.stack([spectrum.real, spectrum.imag], dim=1).transpose(2, 3), []
        for layer in self.layers:
            values = nn.functional.leaky_relu(layer(values), SLOPE)
            features.append(values)
        return Judgement(self.last(values), features)

    def _spectrum(self, wav: Tensor) -> Complex[Tensor, "batch frequency time"]:
        with torch.autocast(wav.device.type, enabled=False):
            length = len(self.window)
            return torch.stft(wav[:, 0].float(), length, length // 4, window=self.window, return_complex=True)


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, dilation: int = 1) -> nn.Module:
    """A centred convolution over [time, frequency]; the stride is over frequency, the dilation over time."""
    padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
    return weight_norm(
        nn.Conv2d(inputs, outputs, kernel, stride=(1, stride), dilation=(dilation, 1), padding=padding)
    )


def discriminator_loss(real: list[Judgement], made: list[Judgement]) -> Float[Tensor, ""]:
    """Hinge loss of the discriminator, mean over scales, items and places."""
    return torch.stack(
        [
            (1 - one.logits.float()).relu().mean() + (1 + other.logits.float()).relu().mean()
            for one, other in zip(real, made, strict=True)
        ]
    ).mean()


def adversarial_loss(made: list[Judgement]) -> Float[Tensor, ""]:
    """Hinge loss of the codec, ``max(0, 1 - D)`` of decoded sound, mean as above (EnCodec §3.4)."""
    return torch.stack([(1 - one.logits.float()).relu().mean() for one in made]).mean()


def feature_loss(real: list[Judgement], made: list[Judgement]) -> Float[Tensor, ""]:
    """L1 distance of feature maps relative to the real ones' mean magnitude, mean over scales, layers and items.

    Relative per item, so that workers may split a batch in any way.
    """
    return torch.stack(
        [
            _relative(wanted.detach().float(), ours.float())
            for one, other in zip(real, made, strict=True)
            for wanted, ours in zip(one.features, other.features, strict=True)
        ]
    ).mean()


def _relative(wanted: Tensor, ours: Tensor) -> Tensor:
    missed = (ours - wanted).abs().flatten(1).mean(dim=1)
    return (missed / wanted.abs().flatten(1).mean(dim=1).clamp(min=FAINT)).mean()
