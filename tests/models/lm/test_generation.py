from __future__ import annotations

import pytest
import torch

from models.errors import StemsError
from models.lm.generation import Grid, fill
from models.lm.sampling import Sampling, choose
from models.lm.transformer import Condition, StemTransformer, TransformerSize
from models.lm.windows import slide
from models.stems import StemLayout

LAYOUT = StemLayout.parse("low:1,high:3")
CODES = 20


@pytest.fixture(scope="module")
def model() -> StemTransformer:
    torch.manual_seed(0)
    size = TransformerSize(streams=4, cardinality=CODES, dim=32, heads=4, layers=2, text_dim=8)
    return StemTransformer(size).eval()


def text(seed: int, length: int = 5) -> Condition:
    states = torch.randn(1, length, 8, generator=torch.Generator().manual_seed(seed))
    return Condition.of(states, torch.ones(1, length, dtype=torch.bool))


def write(model: StemTransformer, grid: Grid, condition: Condition | None, sampling: Sampling) -> torch.Tensor:
    return fill(model, [grid], [condition], [sampling], LAYOUT.delays)[0]


def test_the_cache_gives_what_the_whole_sequence_gives(model: StemTransformer) -> None:
    tokens = torch.randint(CODES + 1, (2, 4, 12))
    condition = Condition.cat([text(1), text(2, length=3)])
    with torch.no_grad():
        whole = model(tokens, condition)
        cache = model.start(condition, capacity=12)
        parts = [model.advance(tokens[..., :5], cache)]
        parts += [model.advance(tokens[..., i : i + 1], cache) for i in range(5, 12)]
    torch.testing.assert_close(torch.stack(parts, dim=2), whole[:, :, 4:], atol=1e-5, rtol=1e-5)


def test_known_tokens_come_back_unchanged_and_the_rest_is_written(model: StemTransformer) -> None:
    codes = torch.randint(CODES, (4, 30))
    known = torch.rand(4, 30) < 0.5
    out = write(model, Grid(codes, known), text(1), Sampling(seed=3))
    assert torch.equal(out[known], codes[known])
    assert (out < CODES).all()
    assert not torch.equal(out, codes)


def test_a_grid_that_is_wholly_known_is_returned(model: StemTransformer) -> None:
    codes = torch.randint(CODES, (4, 9))
    assert torch.equal(write(model, Grid(codes, torch.ones_like(codes).bool()), None, Sampling(seed=1)), codes)


def test_the_same_seed_gives_the_same_music_whoever_else_is_in_the_batch(model: StemTransformer) -> None:
    sampling, grid = Sampling(seed=11, top_k=5), Grid.blank(4, 20)
    alone = write(model, grid, text(1), sampling)
    neighbours = [Grid.blank(4, 33), grid, Grid.blank(4, 7)]
    conditions = [None, text(1), text(4, length=9)]
    samplings = [Sampling(seed=5), sampling, Sampling(seed=6, guidance=1.0)]
    together = fill(model, neighbours, conditions, samplings, LAYOUT.delays)
    assert torch.equal(together[1], alone)
    assert [t.shape[1] for t in together] == [33, 20, 7]


def test_other_seeds_and_prompts_give_other_music(model: StemTransformer) -> None:
    grid = Grid.blank(4, 20)
    first = write(model, grid, text(1), Sampling(seed=1))
    assert not torch.equal(first, write(model, grid, text(1), Sampling(seed=2)))
    assert not torch.equal(first, write(model, grid, text(2), Sampling(seed=1)))


def test_guidance_one_is_the_conditional_model(model: StemTransformer) -> None:
    grid = Grid.blank(4, 15)
    unguided = write(model, grid, text(1), Sampling(seed=1, guidance=1.0, temperature=0))
    guided = write(model, grid, text(1), Sampling(seed=1, guidance=1.0000001, temperature=0))
    assert torch.equal(unguided, guided)


def test_text_padding_does_not_change_the_logits(model: StemTransformer) -> None:
    tokens = torch.randint(CODES + 1, (1, 4, 8))
    with torch.no_grad():
        alone = model(tokens, text(1))
        padded = model(tokens, text(1).padded(12))
    torch.testing.assert_close(alone, padded)


def test_a_row_without_text_is_all_zeros_and_no_nan(model: StemTransformer) -> None:
    tokens = torch.randint(CODES + 1, (1, 4, 8))
    with torch.no_grad():
        none = model(tokens, Condition.null(1, 8))
        dropped = model(tokens, Condition.of(text(1).states, torch.zeros(1, 5, dtype=torch.bool)))
    assert none.isfinite().all()
    torch.testing.assert_close(none, dropped)


def test_a_draw_follows_the_distribution() -> None:
    logits = torch.tensor([[0.1, 0.2, 0.7]]).log()
    generator = torch.Generator().manual_seed(0)
    draws = torch.cat([choose(logits, Sampling(top_k=0), generator) for _ in range(4000)])
    shares = torch.bincount(draws, minlength=3) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.2, 0.7]), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        (Sampling(top_k=1), {2}),
        (Sampling(top_k=2), {1, 2}),
        (Sampling(top_k=0, top_p=0.65), {2}),
        (Sampling(top_k=0, top_p=0.8), {1, 2}),
    ],
)
def test_filters_keep_the_likeliest(sampling: Sampling, allowed: set[int]) -> None:
    logits = torch.tensor([[0.1, 0.2, 0.7]]).log()
    generator = torch.Generator().manual_seed(0)
    assert {int(choose(logits, sampling, generator)) for _ in range(300)} == allowed


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"guidance": float("nan")}, "guidance"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_sampling_is_refused_by_name(values: dict[str, float], field: str) -> None:
    with pytest.raises(StemsError) as caught:
        Sampling(**values)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    "grid",
    [Grid.blank(3, 5), Grid.blank(4, 0), Grid(torch.full((4, 5), CODES + 1), torch.ones(4, 5, dtype=torch.bool))],
)
def test_bad_grids_are_refused(model: StemTransformer, grid: Grid) -> None:
    with pytest.raises(StemsError, match="grid"):
        write(model, grid, None, Sampling())


@pytest.mark.parametrize(("frames", "longest"), [(1, 10), (10, 10), (11, 10), (95, 10), (1000, 417), (7, 1), (5, 2)])
def test_windows_cover_a_song_once_and_overlap(frames: int, longest: int) -> None:
    windows = slide(frames, longest)
    written = [f for w in windows for f in range(w.known_until, w.end)]
    assert written == list(range(frames))
    assert all(w.end - w.start <= longest and w.start <= w.known_until < w.end for w in windows)
    assert all(w.known_until - w.start >= longest // 3 for w in windows[1:])
