"""The kernels of a step on a GPU, run by their compiler's interpreter, against the step in PyTorch's operations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.lm.engine.gpu import step as gpu
from models.lm.engine.gpu.launch import Launch
from models.lm.engine.gpu.products import FusedProduct, LibraryProduct, Product, product
from models.lm.engine.network import DecodingNetwork, PackedNorm
from models.lm.engine.rows import Rows, RowShape
from models.lm.engine.step import DrawKind, batch_step
from models.lm.engine.weights import FloatMatrix
from models.lm.sampling import Sampling
from models.lm.transformer import Condition, Norm, StemTransformer, TransformerSize

CPU, STREAMS, CODES, STEPS = torch.device("cpu"), 2, 12, 40
pytest.importorskip("triton", reason="the compiler of the GPU's kernels is not installed")

KIND = DrawKind(CODES, nucleus=True)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention in pieces so small that a short sequence takes several."""
    monkeypatch.setattr(gpu, "FEW", gpu.Tiling(16, 8, 1))
    monkeypatch.setattr(gpu, "MANY", gpu.Tiling(8, 8, 1))


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 9), (300, 6), (2100, 3)])
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("after", ["nothing", "gelu", "add"])
def test_products_agree_with_the_librarys(inputs: int, outputs: int, normed: bool, after: str) -> None:
    torch.manual_seed(0)
    weight, x, out = torch.randn(outputs, inputs) / inputs**0.5, torch.randn(3, inputs) + 1, torch.randn(3, outputs)
    norm = Norm(inputs)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    packed = PackedNorm.of(norm, torch.float32) if normed else None
    results = []
    ways: list[Product] = [FusedProduct(weight, packed, Launch.on(CPU)), LibraryProduct(weight, packed)]
    for way in ways:
        results.append(out.clone())
        way(x, results[-1], gelu=after == "gelu", add=after == "add")
    given = F.layer_norm(x, (inputs,), norm.weight, norm.bias) if normed else x
    expected = F.linear(given, weight)
    expected = {"nothing": expected, "gelu": F.gelu(expected), "add": out + expected}[after]
    torch.testing.assert_close(results, [expected.detach()] * 2, atol=1e-4, rtol=1e-4)


def test_few_rows_are_multiplied_here_and_many_by_the_library() -> None:
    matrix, launch = FloatMatrix(torch.randn(4, 4), torch.float32), Launch.on(CPU)
    assert isinstance(product(matrix, None, 4, launch), FusedProduct)
    assert isinstance(product(matrix, None, 5, launch), LibraryProduct)


@pytest.mark.parametrize(("width", "fits"), [(64, True), (48, False)])
def test_heads_of_other_widths_step_in_pytorchs_operations(width: int, fits: bool) -> None:
    assert gpu.FusedStep.fits(RowShape(2, 2, width, STREAMS, STEPS, 20)) is fits


@pytest.fixture(scope="module")
def network() -> DecodingNetwork:
    torch.manual_seed(0)
    size = TransformerSize(STREAMS, CODES, dim=16, heads=2, layers=2, text_dim=8, feed_forward_ratio=2)
    return DecodingNetwork(StemTransformer(size), "float32", STEPS)


def admitted(network: DecodingNetwork, count: int, at: int) -> Rows:
    """Rows amid their songs: guided with a text, alone with a text, with neither, and one that is free."""
    torch.manual_seed(1)
    rows = Rows(count, RowShape(2, 2, 8, STREAMS, STEPS, 20), torch.float32, CPU)
    text = network.text(Condition.of(torch.randn(1, 17, 8), torch.ones(1, 17, dtype=torch.bool)))
    sequences: list[tuple[tuple[int, ...], Sampling, list[tuple[Tensor, Tensor]]]] = [
        ((0, 2), Sampling(top_k=5, top_p=0.8), text),
        ((1,), Sampling(guidance=1, top_k=0, temperature=0.7), text),
        ((3,), Sampling(guidance=1, temperature=0), []),
    ]
    for number, (row_ids, sampling, read) in enumerate(sequences):
        rows.admit(row_ids, sampling, read)
        fixed = torch.rand(STREAMS, STEPS) < 0.3
        rows.begin_window(row_ids, torch.randint(CODES, (STREAMS, STEPS)), fixed, 7**20 * (number + 1))
        rows.position[list(row_ids)] = at + number
    rows.keys[:, :4].normal_()
    rows.values[:, :4].normal_()
    rows.set_exec_mask([0, 1, 2, 3])
    return rows


@pytest.mark.parametrize("count", [4, 6], ids=["few rows", "many rows"])
@pytest.mark.parametrize("at", [0, 14, 30])
def test_a_step_in_few_kernels_is_the_step(network: DecodingNetwork, count: int, at: int) -> None:
    expected, rows = admitted(network, count, at), admitted(network, count, at)
    fused = gpu.FusedStep(network, rows)
    for turn in range(3):
        if turn == 2:
            expected.set_exec_mask([0, 2, 3])
            rows.set_exec_mask([0, 2, 3])
        batch_step(network, expected, KIND)
        fused()
    leads = [0, 1, 3]
    assert torch.equal(rows.tokens[leads], expected.tokens[leads])
    assert torch.equal(rows.position, expected.position)
    torch.testing.assert_close(rows.keys[:, :4], expected.keys[:, :4], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rows.values[:, :4], expected.values[:, :4], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampling", [{"top_k": 1}, {"top_k": 3}, {"top_p": 0.5, "top_k": 0}, {"top_p": 1.0}, {}])
def test_draws_keep_what_their_parameters_keep(network: DecodingNetwork, sampling: dict[str, float]) -> None:
    drawn = []
    for fused in (False, True):
        torch.manual_seed(2)
        rows = Rows(5, RowShape(2, 2, 8, STREAMS, STEPS, 20), torch.float32, CPU)
        for row in range(5):
            rows.admit((row,), Sampling(guidance=1.0, **sampling), [])  # type: ignore[arg-type]
            tokens = torch.randint(CODES, (STREAMS, STEPS))
            rows.begin_window((row,), tokens, torch.zeros_like(tokens, dtype=torch.bool), 3**30 + row)
        rows.set_exec_mask([0, 1, 2, 3, 4])
        step = gpu.FusedStep(network, rows) if fused else lambda rows=rows: batch_step(network, rows, KIND)
        for _ in range(2):
            step()
        drawn.append(rows.tokens)
    assert torch.equal(*drawn)


@pytest.mark.parametrize("fused", [True, False])
def test_a_sequence_whose_logits_are_not_finite_is_known_and_no_other(network: DecodingNetwork, fused: bool) -> None:
    rows = admitted(network, 6, 14)
    rows.values[1, 3, 0, 2, 0] = float("inf")
    step = gpu.FusedStep(network, rows) if fused else lambda: batch_step(network, rows, KIND)
    step()
    assert [rows.is_finite(row) for row in (0, 1, 3)] == [True, True, False]
    rows.admit((3,), Sampling(), [])
    assert rows.is_finite(3)
