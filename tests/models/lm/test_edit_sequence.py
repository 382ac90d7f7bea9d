from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from helpers.logits import undelay_logits
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from models.lm.edit_sequence import (
    assemble_example,
    draw_masked_streams,
    edit_frames,
    edit_sequence,
    example_columns,
    prefix_frames,
    training_example,
)
from models.stems import MUSICGEN_STEM, Stem, StemLayout

GOLDEN = load_file(Path(__file__).parents[2] / "golden" / "sequences.safetensors")
SPECIAL = 32


def masks(*names: str) -> np.ndarray:
    return np.array(MUSICGEN_STEM.stream_mask(names))


def test_the_editing_sequence_is_the_references() -> None:
    codes = GOLDEN["lm.codes"].long()
    target = codes[..., : edit_frames(codes.shape[-1])]
    masked = torch.from_numpy(np.stack([masks("bass"), masks("drums", "other")]))
    hidden = masked[..., None].expand_as(target)
    assert torch.equal(edit_sequence(target, hidden, SPECIAL), GOLDEN["edit.sequence"].long())


def test_the_loss_mask_is_the_references() -> None:
    codes = GOLDEN["lm.codes"].long()[0, :, :62]
    example = assemble_example(codes, masks("bass"), SPECIAL, columns=76)
    _, defined = undelay_logits(torch.zeros(1, 6, 77, SPECIAL), MUSICGEN_STEM.delays, 76)
    ours = torch.from_numpy(example.loss_columns) & defined
    assert torch.equal(ours, GOLDEN["edit.loss_mask"][0].bool())


def test_the_papers_lengths() -> None:
    assert edit_frames(1500) == 1250
    assert prefix_frames(1250) == 250
    assert example_columns(1500) == 1501


def test_masks_are_the_papers_sets_with_the_right_frequencies() -> None:
    draws = 6000
    rng = np.random.default_rng(7)
    seen = Counter(tuple(np.flatnonzero(draw_masked_streams(MUSICGEN_STEM, rng)).tolist()) for _ in range(draws))
    others = MUSICGEN_STEM.maskable_sets("other")
    # One stem of three or two of three, each half the time; a masked `other` uses its four sets alike.
    expected = {(0,): 1 / 6, (1,): 1 / 6, (0, 1): 1 / 6}
    for part in others:
        expected |= {part: 1 / 24, (0, *part): 1 / 24, (1, *part): 1 / 24}
    assert set(seen) == set(expected)
    for streams, share in expected.items():
        # Five standard deviations of a binomial share.
        assert abs(seen[streams] / draws - share) < 5 * np.sqrt(share * (1 - share) / draws), streams


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_a_mask_never_hides_everything_or_nothing(stems: int, codebooks: int, seed: int) -> None:
    layout = StemLayout(tuple(Stem(f"s{i}", codebooks) for i in range(stems)))
    mask = draw_masked_streams(layout, np.random.default_rng(seed))
    assert 0 < mask.sum() < layout.streams


@given(st.integers(6, 80), st.integers(6, 60), st.floats(0, 1), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_target_can_be_read_back_from_an_example(
    song_frames: int, segment: int, edit_share: float, seed: int
) -> None:
    song = np.arange(6 * song_frames).reshape(6, song_frames) % SPECIAL
    rng = np.random.default_rng(seed)
    example = training_example(song, MUSICGEN_STEM, SPECIAL, segment_frames=segment, edit_share=edit_share, rng=rng)
    assert example.columns.shape == (6, example_columns(segment))
    target = example.columns[:, example.loss_columns]
    wanted = min(song_frames, edit_frames(segment) if example.is_edit else segment)
    assert target.shape == (6, wanted)
    starts = range(song_frames - wanted + 1)
    assert any(np.array_equal(song[:, s : s + wanted], target) for s in starts)
    if example.is_edit:
        prefix = example.columns[:, : prefix_frames(wanted)]
        assert (prefix[example.masked] == SPECIAL).all()
        assert np.array_equal(prefix[~example.masked], target[~example.masked, ::5])
        assert (example.columns[:, prefix_frames(wanted)] == SPECIAL).all()


@given(st.integers(6, 80), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_span_hides_its_stems_for_one_time_only(frames: int, seed: int) -> None:
    song = np.arange(6 * frames).reshape(6, frames) % SPECIAL
    whole, span = (
        training_example(
            song,
            MUSICGEN_STEM,
            SPECIAL,
            segment_frames=frames,
            edit_share=1.0,
            rng=np.random.default_rng(seed),
            span_share=share,
        )
        for share in (0.0, 1.0)
    )
    shown = prefix_frames(edit_frames(frames))
    assert np.array_equal(whole.masked, span.masked)
    assert np.array_equal(whole.columns[:, shown:], span.columns[:, shown:])
    hidden = span.columns[:, :shown] == SPECIAL
    assert not hidden[~span.masked].any()
    # One run of columns, or none where it falls between two of them, the same in each hidden stream.
    assert (hidden[span.masked] == hidden[span.masked][0]).all()
    assert np.abs(np.diff(hidden[span.masked][0].astype(int), prepend=0, append=0)).sum() <= 2


def test_the_tasks_are_mixed_example_by_example() -> None:
    song = np.zeros((6, 100), dtype=np.int16)
    tasks = [
        training_example(
            song, MUSICGEN_STEM, SPECIAL, segment_frames=60, edit_share=0.5, rng=np.random.default_rng(i)
        ).is_edit
        for i in range(400)
    ]
    assert 150 < sum(tasks) < 250
