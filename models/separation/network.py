"""The separator's network: Hybrid Transformer Demucs in this project's sizes.

The network itself is `demucs.htdemucs.HTDemucs` (Rouard et al., "Hybrid Transformers for Music Source
Separation", 2023); this file only chooses its sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs


@dataclass(frozen=True)
class SeparatorSize:
    """The sizes of a separator.

    Attributes:
        sources: names of the separated stems, in the order of the network's outputs.
        segment: seconds of audio per network input, in training and inference.
        channels: width of the first spectrogram layer; it grows by `growth` per layer.
        channels_time: the same for the waveform branch; 0 = `channels`. With transformer layers, the two must agree.
        depth: layers in each encoder and decoder, each of stride 4.
        nfft: window of the spectrogram in samples; the hop is a quarter of it.
        bottom_channels: width inside the transformer; 0 = width of the last encoder layer.
        transformer_layers: layers of the cross-domain transformer between encoder and decoder; 0 = none.
        transformer_heads: attention heads of the transformer.
        convolution_depth: layers in each dilated residual branch.
        complex_output: predict the spectrogram as real and imaginary parts; otherwise as magnitudes with the song's
            phase.
    """

    sources: tuple[str, ...]
    segment: float
    channels: int
    growth: int = 2
    channels_time: int = 0
    depth: int = 4
    nfft: int = 4096
    bottom_channels: int = 0
    transformer_layers: int = 5
    transformer_heads: int = 8
    convolution_depth: int = 2
    complex_output: bool = True


def build_htdemucs(size: SeparatorSize) -> HTDemucs:
    """A separator of this size with random weights: stereo at 44.1 kHz in, one stereo signal per source out."""
    from demucs.htdemucs import HTDemucs

    return HTDemucs(
        sources=list(size.sources),
        segment=size.segment,
        channels=size.channels,
        channels_time=size.channels_time or None,
        growth=size.growth,
        depth=size.depth,
        nfft=size.nfft,
        bottom_channels=size.bottom_channels,
        t_layers=size.transformer_layers,
        t_heads=size.transformer_heads,
        dconv_depth=size.convolution_depth,
        cac=size.complex_output,
    )
