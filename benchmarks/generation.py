"""Generation with guidance by the language model, against transformers' MusicGen.

Same layer sizes, random weights, float32, same threads, one process; the two take turns, and the ratio is taken
turn by turn. Run ``python -m benchmarks.generation``; results belong in docs/BENCHMARKS.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.turns import compare
from models.interchange.musicgen import transformer_from_musicgen
from models.lm.generation import Grid, fill
from models.lm.sampling import Sampling
from models.lm.transformer import Condition, StemTransformer
from models.stems import MUSICGEN

DIM, HEADS, LAYERS, CODES, TEXT_DIM = 512, 8, 8, 2048, 64
GENERATED_FRAMES, TURNS = 100, 5


def musicgen() -> Any:
    """A random MusicGen with a small text encoder and a small codec, so that the decoder is what is measured."""
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    decoder = MusicgenDecoderConfig(
        vocab_size=CODES,
        num_hidden_layers=LAYERS,
        hidden_size=DIM,
        ffn_dim=4 * DIM,
        num_attention_heads=HEADS,
        dropout=0.0,
    )
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
    return MusicgenForConditionalGeneration(MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder))


def generations(theirs: Any, ours: StemTransformer) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same number of frames from the same text, guidance 3, sampling among 250."""
    tokens = torch.randint(2, 50, (1, 12))
    with torch.no_grad():
        states = theirs.text_encoder(tokens).last_hidden_state
    condition = Condition.of(states, torch.ones(1, 12, dtype=torch.bool))

    def peer() -> None:
        theirs.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            guidance_scale=3.0,
            do_sample=True,
            top_k=250,
            max_new_tokens=GENERATED_FRAMES + 3,
            decoder_start_token_id=CODES,
            pad_token_id=CODES,
        )

    def mine() -> None:
        fill(ours, [Grid.blank(4, GENERATED_FRAMES)], [condition], [Sampling(seed=1)], MUSICGEN.delays)

    return mine, peer


def main() -> None:
    """Run the comparison and print the table."""
    torch.manual_seed(0)
    theirs = musicgen().eval()
    ours = transformer_from_musicgen(theirs.decoder, theirs.enc_to_dec_proj)
    title = f"{GENERATED_FRAMES} frames with guidance: {LAYERS} layers of {DIM}, {torch.get_num_threads()} threads"
    table = Table("here (s)", "transformers (s)", "times faster", title=title)
    took = compare(*generations(theirs, ours), TURNS)
    table.add_row(f"{took.ours:.2f}", f"{took.theirs:.2f}", f"{took.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
