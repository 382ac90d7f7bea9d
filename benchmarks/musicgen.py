"""What the language model is measured against: transformers' own MusicGen, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from models.presets import LM_SIZES, LMSize

CODES, TEXT_DIM, WORDS = 2048, 64, 12


def decoder_config(size: LMSize) -> Any:
    """MusicGen's decoder, of four streams, in the sizes of a preset."""
    from transformers import MusicgenDecoderConfig

    return MusicgenDecoderConfig(
        vocab_size=CODES,
        num_hidden_layers=size.layers,
        hidden_size=size.dim,
        ffn_dim=4 * size.dim,
        num_attention_heads=size.heads,
        dropout=0.0,
    )


def musicgen(preset: str) -> Any:
    """A random MusicGen with a small text encoder and a small codec, so that the decoder is what is measured."""
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    decoder = decoder_config(LM_SIZES[preset])
    text = T5Config(d_model=TEXT_DIM, d_ff=64, d_kv=16, num_layers=1, num_heads=4, vocab_size=50)
    codec = EncodecConfig(
        sampling_rate=32_000,
        target_bandwidths=[2.2],
        num_filters=2,
        hidden_size=8,
        codebook_size=CODES,
        upsampling_ratios=[8, 5, 4, 4],
        num_lstm_layers=1,
    )
    config = MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder)
    return MusicgenForConditionalGeneration(config).eval()


def peer(theirs: Any, frames: int, requests: int) -> Callable[[], None]:
    """Transformers' own generation of so many requests in one batch."""
    tokens = torch.randint(2, 50, (requests, WORDS), device=theirs.device)

    def work() -> None:
        theirs.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            guidance_scale=3.0,
            do_sample=True,
            top_k=250,
            max_new_tokens=frames + 3,
            decoder_start_token_id=CODES,
            pad_token_id=CODES,
        )
        wait(theirs.device)

    return work


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
