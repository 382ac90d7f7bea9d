"""A codec and everything needed to train it: discriminator, losses and balancer, in one module."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.codec.balancer import Balanced, Balancer
from models.codec.codec import Reconstruction, StemCodec
from models.codec.discriminator import (
    Discriminator,
    DiscriminatorSize,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from models.codec.losses import LossWeights, MelScales, mel_loss, wave_loss


class TrainingPass(NamedTuple):
    """The losses of one micro-batch.

    ``loss`` is the scalar to differentiate. ``parts`` are the losses by name, for display. ``made`` and ``balanced``
    serve the updates after the step: of the codebooks and of the balancer's averages.
    """

    loss: Float[Tensor, ""]
    parts: dict[str, Tensor]
    made: Reconstruction
    balanced: Balanced


class CodecTrainer(nn.Module):
    """Codec and discriminator, trained from one scalar (EnCodec §3.4).

    The discriminator sees decoded sound that is detached from the codec, so its loss reaches only its own parameters.
    The codec's losses are differentiated up to the sound by ``autograd.grad``, which leaves the discriminator's
    gradients alone, and are balanced there. ``replaced`` counts the dead codes replaced so far.
    """

    def __init__(self, codec: StemCodec, weights: LossWeights, discriminator: DiscriminatorSize) -> None:
        super().__init__()
        self.codec, self.weights = codec, weights
        self.mels = MelScales(codec.sample_rate)
        balanced = {"mel": weights.mel, "wave": weights.wave}
        self.discriminator = None
        if weights.adversarial:
            self.discriminator = Discriminator(discriminator)
            balanced |= {"adversarial": weights.adversarial, "feature": weights.adversarial}
        self.balancer = Balancer(balanced)
        self.replaced: Tensor
        self.register_buffer("replaced", torch.zeros(codec.codebooks, dtype=torch.int64))

    def forward(self, wav: Float[Tensor, "batch 1 samples"]) -> TrainingPass:
        """Decode ``wav`` and compute all losses. Every loss is a mean over items.

        The scalar's gradient is the balanced one; its value is the weighted sum of the losses. Under autocast only
        the discriminator computes below float32: rounding would add noise that only decoded sound has, and CUDA's
        LSTM would use float16.
        """
        with torch.autocast(wav.device.type, enabled=False):
            made = self.codec(wav)
        output = made.wav.detach().requires_grad_()
        losses: dict[str, Tensor] = {}
        parts: dict[str, Tensor] = {"commitment": made.commitment}
        if self.discriminator is not None:
            real, fake = self.discriminator(wav), self.discriminator(output)
            losses |= {"adversarial": adversarial_loss(fake), "feature": feature_loss(real, fake)}
            parts["discriminator"] = discriminator_loss(real, fake)
        with torch.autocast(wav.device.type, enabled=False):
            losses |= {"mel": mel_loss(self.mels, output, wav), "wave": wave_loss(output, wav)}
            balanced = self.balancer(losses, output)
            pulled = balanced.loss(made.wav)
        loss = pulled + self.weights.commitment * made.commitment + parts.get("discriminator", 0.0)
        parts |= losses
        shown = sum(self._weight(name) * value.detach() for name, value in parts.items())
        return TrainingPass(loss - loss.detach() + shown, {k: v.detach() for k, v in parts.items()}, made, balanced)

    def _weight(self, name: str) -> float:
        weights = self.weights
        return {
            "adversarial": weights.adversarial,
            "feature": weights.adversarial,
            "mel": weights.mel,
            "wave": weights.wave,
            "commitment": weights.commitment,
            "discriminator": 1.0,
        }[name]
