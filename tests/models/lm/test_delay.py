from __future__ import annotations

from pathlib import Path

import torch
from helpers.logits import undelay_logits
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from models.lm.delay import delay_codes, delay_mask, undelay_codes
from models.stems import MUSICGEN_STEM, Stem, StemLayout

GOLDEN = load_file(Path(__file__).parents[2] / "golden" / "sequences.safetensors")
CARDINALITY = 32

layouts = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(
    lambda counts: StemLayout(tuple(Stem(f"stem{i}", count) for i, count in enumerate(counts)))
)


def test_the_delayed_sequence_is_the_references() -> None:
    sequence = delay_codes(GOLDEN["lm.codes"].long(), MUSICGEN_STEM.delays, CARDINALITY)
    assert torch.equal(sequence, GOLDEN["lm.delayed_sequence"].long())


@given(layouts, st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_delay_round_trips_for_any_layout_and_length(layout: StemLayout, frames: int, seed: int) -> None:
    codes = torch.randint(CARDINALITY, (2, layout.streams, frames), generator=torch.Generator().manual_seed(seed))
    sequence = delay_codes(codes, layout.delays, CARDINALITY)
    assert sequence.shape[-1] == frames + max(layout.delays) + 1
    assert (sequence == CARDINALITY).sum() == 2 * layout.streams * (max(layout.delays) + 1)
    assert torch.equal(undelay_codes(sequence, layout.delays), codes)


def test_logits_line_up_with_the_codes_they_predict() -> None:
    codes = GOLDEN["lm.codes"].long()
    sequence = delay_codes(codes, MUSICGEN_STEM.delays, CARDINALITY)
    # An oracle: the logits of each step are the one-hot of the next step's tokens.
    oracle = torch.nn.functional.one_hot(sequence[..., 1:76], CARDINALITY + 1).float()
    logits, mask = undelay_logits(oracle, MUSICGEN_STEM.delays, codes.shape[-1])
    assert torch.equal(mask.expand(2, -1, -1), GOLDEN["lm.logits_mask"].bool())
    assert torch.equal(logits.argmax(-1)[:, mask], codes[:, mask])


@given(layouts, st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_marked_columns_are_found_in_the_sequence(layout: StemLayout, frames: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randint(CARDINALITY, (2, layout.streams, frames), generator=draw)
    marked = torch.rand((2, frames), generator=draw) < 0.5
    predicted = delay_codes(codes, layout.delays, CARDINALITY)[..., 1 : frames + 1]
    wanted = delay_mask(marked, layout.delays)
    for row in range(2):
        for stream, lag in enumerate(layout.delays):
            there = marked[row, : max(0, frames - lag)].nonzero()[:, 0]
            assert torch.equal(predicted[row, stream][wanted[row, stream]], codes[row, stream][there])
