"""The compiled kernels against what PyTorch computes, and what happens without a compiler."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from models.lm.engine import weights
from models.lm.engine.native import build
from models.lm.engine.native.kernels import kernels
from models.lm.engine.weights import Int8Matrix

needs_kernels = pytest.mark.skipif(kernels() is None, reason="no AVX2 or no C compiler here")


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """A matrix as int8 holds it."""
    scales = weight.abs().amax(dim=1, keepdim=True) / 127
    return (weight / scales).round() * scales


@needs_kernels
@given(st.integers(1, 7), st.integers(1, 70), st.integers(1, 9), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_int8_products_are_exact_but_for_rounding(rows: int, inputs: int, blocks: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    weight, x = torch.randn(4 * blocks, inputs, generator=random), 5 * torch.randn(rows, inputs, generator=random)
    matrix = Int8Matrix(weight)
    product, exact = matrix(x), x @ rounded(weight).T
    torch.testing.assert_close(product, exact, rtol=0, atol=2e-4 * float(exact.abs().max()) + 1e-6)
    assert all(torch.equal(matrix(x[a:b]), product[a:b]) for a in range(rows) for b in range(a + 1, rows + 1))


@needs_kernels
def test_the_largest_sums_do_not_overflow() -> None:
    weight, x = torch.full((4, 20_000), -0.5), torch.full((3, 20_000), 7.0)
    torch.testing.assert_close(Int8Matrix(weight)(x), torch.full((3, 4), -70_000.0))


@needs_kernels
def test_a_row_of_zeros_gives_zeros() -> None:
    assert not Int8Matrix(torch.zeros(4, 10))(torch.zeros(2, 10)).any()


@needs_kernels
@given(st.lists(st.integers(0, 33), min_size=1, max_size=5), st.sampled_from([8, 24, 64, 72]), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_attention_is_pytorchs(ends: list[int], dim: int, seed: int) -> None:
    native, random = kernels(), torch.Generator().manual_seed(seed)
    assert native is not None
    keys, values = (torch.randn(6, 2, 33, dim, generator=random) for _ in range(2))
    # As the engine has them: queries are a part of what one projection gives.
    queries = 3 * torch.randn(len(ends), 3, 2, dim, generator=random)[:, 0]
    taken = torch.randperm(6, generator=random)[: len(ends)]
    mixed = native.attention(queries, keys, values, taken, torch.tensor(ends))
    for row, (place, end) in enumerate(zip(taken.tolist(), ends, strict=True)):
        there = keys[place, :, :end], values[place, :, :end]
        expected = F.scaled_dot_product_attention(queries[row, :, None], *there)[:, 0] if end else torch.zeros(2, dim)
        torch.testing.assert_close(mixed[row], expected.flatten(), rtol=0, atol=1e-5)


def test_without_a_compiler_pytorchs_products_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "kernels", lambda: None)
    weight, x = torch.randn(32, 64), torch.randn(3, 64)
    product, exact = Int8Matrix(weight)(x), x @ rounded(weight).T
    torch.testing.assert_close(product, exact, rtol=0, atol=0.05 * float(exact.abs().max()))


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler"])
def test_a_compiler_that_fails_is_no_error(compiler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CC", "/bin/false" if compiler == "false" else compiler)
    assert build.loaded.__wrapped__() is None
    assert not list(tmp_path.glob("**/*.so"))


@needs_kernels
def test_kernels_are_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.loaded.__wrapped__() is not None
    [made] = (tmp_path / "musicgen-stem").iterdir()
    before = made.stat().st_mtime_ns
    assert build.loaded.__wrapped__() is not None
    assert made.stat().st_mtime_ns == before
