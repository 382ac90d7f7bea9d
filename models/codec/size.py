"""Sizes of a codec. Light to import."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.errors import StemsError


@dataclass(frozen=True)
class CodecSize:
    """Sizes of one stem codec; the defaults are the paper's (EnCodec at 32 kHz, not causal).

    ``ratios`` are the decoder's upsampling factors, first to last; their product is the hop in samples.
    ``filters`` is the number of channels at full rate, ``latent`` the width that is quantized, ``cardinality``
    the number of codes in a codebook.
    """

    filters: int = 64
    latent: int = 128
    cardinality: int = 2048
    lstm_layers: int = 2
    ratios: tuple[int, ...] = (8, 5, 4, 4)
    sample_rate: int = 32_000

    def __post_init__(self) -> None:
        for name in ("filters", "latent", "lstm_layers", "sample_rate"):
            if getattr(self, name) < 1:
                raise StemsError(
                    f"A codec with {name}={getattr(self, name)} cannot be built.", "Make it positive.", field=name
                )
        if not 2 <= self.cardinality <= 2**15 or self.cardinality.bit_count() != 1:
            raise StemsError(
                f"A codebook of {self.cardinality} codes is not a power of two that fits int16.",
                "Choose 2, 4, 8, … or 32768.",
                field="cardinality",
            )
        if self.sample_rate % self.hop:
            raise StemsError(
                f"A hop of {self.hop} samples does not divide the sample rate {self.sample_rate}.",
                "Choose ratios whose product divides it.",
                field="ratios",
            )

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)

    @property
    def frame_rate(self) -> int:
        """Frames per second."""
        return self.sample_rate // self.hop
