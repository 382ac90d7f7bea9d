from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import StemsError
from models.lm.sampling import Draws, Sampling, choose, exponential, noise_key

LOGITS = torch.tensor([0.1, 0.2, 0.7]).log()


def rows_of(samplings: list[Sampling], keys: list[int]) -> Draws:
    return Draws(
        torch.tensor([float(s.temperature) for s in samplings]),
        torch.tensor([s.top_k for s in samplings]),
        torch.tensor([s.top_p for s in samplings]),
        torch.tensor(keys),
        max(s.top_k for s in samplings),
        any(s.top_p > 0 for s in samplings),
    )


def draws(sampling: Sampling, count: int) -> torch.Tensor:
    """So many draws of one token each: ``count`` rows that differ in their keys alone."""
    rows = rows_of([sampling] * count, [noise_key(1, row) for row in range(count)])
    return choose(LOGITS.expand(count, 1, 3), rows, torch.zeros(count, dtype=torch.int64))[:, 0]


def test_a_draw_follows_the_distribution() -> None:
    shares = torch.bincount(draws(Sampling(top_k=0), 20_000), minlength=3) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.2, 0.7]), atol=0.015, rtol=0)


def test_temperature_flattens_the_distribution() -> None:
    shares = torch.bincount(draws(Sampling(top_k=0, temperature=2.0), 20_000), minlength=3) / 20_000
    torch.testing.assert_close(shares, (LOGITS / 2).softmax(0), atol=0.015, rtol=0)


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        (Sampling(temperature=0), {2}),
        (Sampling(top_k=1), {2}),
        (Sampling(top_k=2), {1, 2}),
        (Sampling(top_k=0, top_p=0.65), {2}),
        (Sampling(top_k=0, top_p=0.8), {1, 2}),
        (Sampling(top_k=1000), {0, 1, 2}),
    ],
)
def test_filters_keep_the_likeliest(sampling: Sampling, allowed: set[int]) -> None:
    assert set(draws(sampling, 300).tolist()) == allowed


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.integers(0, 12),
    top_p=st.sampled_from([0.0, 0.5, 0.9]),
)


@given(st.lists(samplings, min_size=1, max_size=5), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_row_is_drawn_the_same_whoever_else_draws(several: list[Sampling], seed: int) -> None:
    # Few distinct values: ties must not be broken by who else is there.
    logits = torch.randint(4, (len(several), 3, 10), generator=torch.Generator().manual_seed(seed)).float()
    keys, steps = [noise_key(seed, row) for row in range(len(several))], torch.arange(len(several))
    together = choose(logits, rows_of(several, keys), steps)
    for row, sampling in enumerate(several):
        alone = choose(logits[row : row + 1], rows_of([sampling], keys[row : row + 1]), steps[row : row + 1])
        assert torch.equal(together[row], alone[0])


def test_noise_is_exponential_and_never_zero_or_infinite() -> None:
    keys = torch.tensor([noise_key(seed) for seed in range(50)])
    noise = exponential(keys, torch.arange(50), 6, 2048)
    assert noise.isfinite().all()
    assert (noise > 0).all()
    assert abs(float(noise.mean()) - 1) < 0.01
    assert abs(float(noise.var()) - 1) < 0.02
    # Neighbours in every direction are independent.
    for a, b in ((noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1]), (noise[..., 1:], noise[..., :-1])):
        assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 0.01


def test_the_noise_of_a_seed_stays_what_it_was() -> None:
    noise = exponential(torch.tensor([noise_key(5, 0)]), torch.tensor([7]), 2, 2)
    expected = torch.tensor([[[0.7450, 0.7257], [2.7748, 2.2627]]])
    torch.testing.assert_close(noise, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"guidance": float("nan")}, "guidance"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_sampling_is_refused_by_name(values: dict[str, float], field: str) -> None:
    with pytest.raises(StemsError) as caught:
        Sampling(**values)  # type: ignore[arg-type]
    assert caught.value.field == field
