"""The EnCodec network, from transformers."""

from __future__ import annotations

import math
from typing import Any

import torch

from models.codec.size import CodecSize


def encodec_config(size: CodecSize, codebooks: int) -> Any:
    """The ``transformers.EncodecConfig`` of a codec: not causal, zero padding, identity skips, weight norm.

    transformers derives the number of codebooks from a bandwidth, codebooks × frame rate × bits; the one given
    here yields exactly ``codebooks``.
    """
    from transformers import EncodecConfig

    bits = math.ceil(math.log2(size.cardinality))
    return EncodecConfig(
        target_bandwidths=[codebooks * size.frame_rate * bits / 1000],
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


def build_network(size: CodecSize, codebooks: int) -> Any:
    """A ``transformers.EncodecModel`` with random weights and random-normal codebooks, not yet started.

    Draws from torch's global generator. transformers leaves new codebooks all zero, with which every sound has
    the same codes; ``inited`` is 0 until :func:`models.codec.quantizer.start_codebooks` fits them.
    """
    from transformers import EncodecModel

    network = EncodecModel(encodec_config(size, codebooks))
    for layer in network.quantizer.layers:
        book = layer.codebook
        torch.nn.init.normal_(book.embed)
        book.embed_avg.copy_(book.embed)
        book.cluster_size.fill_(1.0)
        book.inited.zero_()
    return network
