"""The EnCodec network, from transformers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from models.codec.size import CodecSize

CODE_LEVEL = 0.15
"""Standard deviation of new codebooks: that of an untrained encoder's latents."""

OUTPUT_LEVEL = 0.25
"""Scale of the last layer of a new decoder: its output is then about as loud as music."""


def encodec_config(size: CodecSize, codebooks: int) -> Any:
    """The ``transformers.EncodecConfig`` of a codec: not causal, zero padding, identity skips, weight norm.

    transformers derives the number of codebooks from a bandwidth, codebooks × frame rate × bits; this bandwidth
    yields exactly ``codebooks``.
    """
    from transformers import EncodecConfig

    return EncodecConfig(
        target_bandwidths=[_bandwidth(codebooks, size.frame_rate, size.cardinality)],
        sampling_rate=size.sample_rate,
        audio_channels=1,
        hidden_size=size.latent,
        codebook_dim=size.latent,
        codebook_size=size.cardinality,
        num_filters=size.filters,
        num_lstm_layers=size.lstm_layers,
        upsampling_ratios=list(size.ratios),
        use_causal_conv=False,
        use_conv_shortcut=False,
        pad_mode="constant",
        norm_type="weight_norm",
    )


def _bandwidth(codebooks: int, frame_rate: float, cardinality: int) -> float:
    return codebooks * frame_rate * math.ceil(math.log2(cardinality)) / 1000


def build_network(size: CodecSize, codebooks: int) -> Any:
    """A ``transformers.EncodecModel`` with random weights and random-normal codebooks, not yet initialised.

    Draws from torch's global generator. transformers leaves new codebooks all zero, which gives every sound the same
    codes; ``inited`` is 0 until :func:`models.codec.quantizer.start_codebooks` fits them.
    """
    from transformers import EncodecModel

    network = EncodecModel(encodec_config(size, codebooks))
    convolutions = [part for part in network.modules() if isinstance(part, (nn.Conv1d, nn.ConvTranspose1d))]
    for convolution in convolutions:
        _keep_variance(convolution)
    network.decoder.layers[-1].conv.weight = network.decoder.layers[-1].conv.weight * OUTPUT_LEVEL
    _draw_codebooks(network)
    return network


def _draw_codebooks(network: Any) -> None:
    for layer in network.quantizer.layers:
        book = layer.codebook
        torch.nn.init.normal_(book.embed, std=CODE_LEVEL)
        book.embed_avg.copy_(book.embed)
        book.cluster_size.fill_(1.0)
        book.inited.zero_()


def with_codebooks(network: Any, codebooks: int) -> Any:
    """A copy of a network with another number of codebooks: its first ones, then new uninitialised ones."""
    from transformers import EncodecConfig, EncodecModel

    settings = network.config.to_dict()
    settings["target_bandwidths"] = [_bandwidth(codebooks, network.config.frame_rate, network.config.codebook_size)]
    changed = EncodecModel(EncodecConfig(**settings))
    _draw_codebooks(changed)
    fresh = changed.state_dict()
    changed.load_state_dict(fresh | {name: value for name, value in network.state_dict().items() if name in fresh})
    return changed


@torch.no_grad()
def _keep_variance(conv: nn.Conv1d | nn.ConvTranspose1d) -> None:
    """Draw weights that preserve the signal level, with no bias.

    transformers intends the same, but weight norm hides the weights from it. PyTorch's default instead shrinks the
    signal at each of a dozen layers, until the latents of all sounds are nearly equal.
    """
    strides = conv.stride[0] if isinstance(conv, nn.ConvTranspose1d) else 1
    inputs = conv.in_channels * conv.kernel_size[0] / strides
    conv.weight = torch.randn_like(conv.weight) / math.sqrt(inputs)
    if conv.bias is not None:
        conv.bias.zero_()
