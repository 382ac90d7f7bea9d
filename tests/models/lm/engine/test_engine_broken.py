"""A request whose numbers are not finite ends with a reason; those beside and after it are as if it had not been."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from helpers.engines import engine
from torch import Tensor, nn

from models.errors import StemsError
from models.lm.engine.engine import Engine
from models.lm.engine.native.kernels import kernels
from models.lm.engine.request import Output, Request
from models.lm.grid import Grid
from models.lm.sampling import Sampling
from models.lm.transformer import Condition, StemTransformer, TransformerSize

DELAYS = (0, 0, 1)
SIZE = TransformerSize(streams=3, cardinality=20, dim=32, heads=4, layers=2, text_dim=8)
KINDS = {
    "float32": {"precision": "float32"},
    "int8": {"precision": "int8"},
    "bfloat16": {"precision": "bfloat16"},
    "static": {"precision": "float32", "static": True},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def model() -> StemTransformer:
    torch.manual_seed(0)
    return StemTransformer(SIZE).eval()


def make(model: StemTransformer, kind: str) -> Engine:
    return engine(model, DELAYS, slots=2, segment_frames=60, **KINDS[kind])  # type: ignore[arg-type]


def asked(seed: int, level: float = 1.0, guidance: float = 3.0) -> Request:
    states = level * torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(seed))
    condition = Condition.of(states, torch.ones(1, 4, dtype=torch.bool))
    return Request(Grid.blank(3, 100), condition, Sampling(seed=seed, guidance=guidance))


def outputs_of(engine: Engine, numbers: list[int]) -> dict[int, list[Output]]:
    outputs: dict[int, list[Output]] = {number: [] for number in numbers}
    while engine.waiting or engine.running:
        for output in engine.step():
            outputs[output.sequence_id].append(output)
    return outputs


def codes(outputs: list[Output]) -> Tensor:
    return torch.cat([output.codes for output in outputs], dim=1)


@each_kind
@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_it_ends_with_a_reason_and_the_others_go_on(model: StemTransformer, kind: str, guidance: float) -> None:
    alone = make(model, kind).run([asked(1, guidance=guidance)])[0]
    busy = make(model, kind)
    # 3e38 is finite; what the model makes of it is not.
    broken, sound = busy.submit(asked(2, level=3e37, guidance=guidance)), busy.submit(asked(1, guidance=guidance))
    outputs = outputs_of(busy, [*broken, *sound])
    [end] = outputs[broken[0]]
    assert end.done
    assert end.codes.shape == (3, 0)
    assert end.error is not None
    assert end.error.code == "broken_model"
    assert all(output.error is None for output in outputs[sound[0]])
    assert torch.equal(codes(outputs[sound[0]]), alone)
    assert busy.free_rows == 4


@each_kind
def test_the_next_one_in_its_rows_is_as_if_it_had_not_been(model: StemTransformer, kind: str) -> None:
    alone, used = make(model, kind).run([asked(1), asked(3)]), make(model, kind)
    outputs_of(used, [*used.submit(asked(2, level=3e37)), *used.submit(asked(4, level=3e37))])
    assert [torch.equal(*pair) for pair in zip(used.run([asked(1), asked(3)]), alone, strict=True)] == [True, True]


@each_kind
@pytest.mark.parametrize("steps", [1, 2], ids=["before its first step", "amid its known steps"])
def test_one_that_is_cancelled_early_leaves_nothing_behind(model: StemTransformer, kind: str, steps: int) -> None:
    alone, used = make(model, kind).run([asked(1), asked(3)]), make(model, kind)
    states = torch.full((1, 20, 8), 3e38 if steps == 1 else 3e37) * torch.randn(8).sign()
    known = torch.zeros((3, 100), dtype=torch.bool)
    known[:, :50] = True
    text = Condition.of(states, torch.ones(1, 20, dtype=torch.bool))
    broken = Request(Grid(torch.zeros((3, 100), dtype=torch.int64), known), text)
    numbers = [number for _ in range(2) for number in used.submit(broken)]
    for _ in range(steps):
        used.step()
    for number in numbers:
        used.cancel(number)
    assert used.free_rows == 4
    assert [torch.equal(*pair) for pair in zip(used.run([asked(1), asked(3)]), alone, strict=True)] == [True, True]


@contextmanager
def value_in(parameter: nn.Parameter, value: float) -> Iterator[None]:
    with torch.no_grad():
        before = parameter.view(-1)[5].item()
        parameter.view(-1)[5] = value
        yield
        parameter.view(-1)[5] = before


@each_kind
@pytest.mark.parametrize("value", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    [
        "embedding.weight", "text_projection.weight", "final_norm.weight", "heads.weight", "blocks.1.self_norm.bias",
        "blocks.0.self_attention.qkv.weight", "blocks.1.self_attention.out.weight", "blocks.1.expand.weight",
        "blocks.0.contract.weight", "blocks.1.cross_attention.kv.weight", "blocks.0.cross_attention.query.weight",
    ],
)  # fmt: skip
def test_no_broken_weight_is_played_over(model: StemTransformer, kind: str, name: str, value: float) -> None:
    with value_in(dict(model.named_parameters())[name], value), pytest.raises(StemsError, match="not finite"):
        make(model, kind).run([Request(Grid.blank(3, 100), asked(1).condition, Sampling(seed=5, top_k=0))])


@pytest.mark.skipif(kernels() is None, reason="this machine cannot compile the kernels")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 7, 8, 30, 34])
def test_compiled_products_keep_what_is_not_finite(value: float, place: int) -> None:
    from models.lm.engine.weights import Int8Matrix

    x = torch.randn(3, 35)
    x[1, place] = value
    product = Int8Matrix(torch.randn(32, 35))(x)
    assert product[[0, 2]].isfinite().all()
    assert not product[1].isfinite().any()


def test_a_text_that_is_not_finite_is_refused_before_it_takes_a_slot(model: StemTransformer) -> None:
    idle = make(model, "float32")
    with pytest.raises(StemsError, match="text encoder"):
        idle.submit(asked(1, level=float("nan")))
    assert idle.waiting == 0
