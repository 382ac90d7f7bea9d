"""The language model gives the reference's numbers (tensors within 1e-4, tokens exactly)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from helpers.engines import engine
from helpers.logits import undelay_logits
from safetensors.torch import load_file
from torch import Tensor

from models.errors import StemsError
from models.interchange.audiocraft_lm import read_released
from models.interchange.import_command import ImportConfig, import_model
from models.lm.delay import delay_codes
from models.lm.engine.request import Request
from models.lm.grid import Grid
from models.lm.objective import stream_loss
from models.lm.sampling import Sampling
from models.lm.transformer import Condition, StemTransformer
from models.song.assembly import Assembly

GREEDY = Sampling(temperature=0)
PROMPT = 14  # 13 columns of prefix and the transition


@dataclass
class Reference:
    golden: dict[str, Tensor]
    model: StemTransformer
    delays: tuple[int, ...]

    @property
    def condition(self) -> Condition:
        valid = self.golden["lm.t5_mask"].bool()
        # The reference attends to padded text, which it has zeroed.
        return Condition(self.golden["lm.t5_hidden"], valid, torch.ones_like(valid))

    @property
    def rows(self) -> list[Condition]:
        c = self.condition
        return [Condition(c.states[i : i + 1], c.valid[i : i + 1], c.attended[i : i + 1]) for i in range(2)]

    def greedy(self, grids: list[Grid], *, static: bool) -> Tensor:
        requests = [Request(grid, row, GREEDY) for grid, row in zip(grids, self.rows, strict=True)]
        return torch.stack(engine(self.model, self.delays, slots=2, static=static).run(requests))


both = pytest.mark.parametrize("static", [False, True], ids=["filled", "static"])


@pytest.fixture(scope="module")
def reference(golden_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """As a user has it: imported, saved, loaded."""
    output = tmp_path_factory.mktemp("imported") / "model"
    import_model(ImportConfig(source=str(golden_release), output=str(output)))
    lm = Assembly.load(output).lm
    return Reference(load_file(golden_release / "golden.safetensors"), lm.transformer, lm.layout.delays)


def test_logits_are_those_of_the_golden_release(reference: Reference) -> None:
    codes = reference.golden["lm.codes"].long()
    sequence = delay_codes(codes, reference.delays, reference.model.special)
    with torch.no_grad():
        logits = reference.model(sequence[..., :76], reference.condition)
    aligned, mask = undelay_logits(logits, reference.delays, 75)
    torch.testing.assert_close(aligned[:, mask], reference.golden["lm.logits"][:, mask], atol=1e-4, rtol=0)


def test_the_editing_loss_is_that_of_the_golden_release(reference: Reference) -> None:
    sequence = reference.golden["edit.sequence"].long()
    columns = torch.zeros(sequence[:, 0].shape, dtype=torch.bool)
    columns[:, PROMPT:] = True
    with torch.no_grad():
        loss = stream_loss(reference.model, sequence, columns, reference.condition, reference.delays)
    torch.testing.assert_close(loss.mean, reference.golden["edit.loss"], atol=1e-4, rtol=0)
    torch.testing.assert_close(loss.per_stream, reference.golden["edit.loss_per_stream"], atol=1e-4, rtol=0)


@both
def test_greedy_tokens_from_text_are_those_of_the_golden_release(reference: Reference, static: bool) -> None:
    out = reference.greedy([Grid.blank(6, 40)] * 2, static=static)
    assert torch.equal(out, reference.golden["gen.greedy_cfg3"].long())


@both
def test_greedy_edits_with_nothing_forced_are_those_of_the_golden_release(reference: Reference, static: bool) -> None:
    prompt = reference.golden["edit.sequence"].long()[..., :PROMPT]
    out = reference.greedy([Grid.blank(6, 62).after(prompt[i]) for i in range(2)], static=static)
    assert torch.equal(out[..., PROMPT:], reference.golden["edit.greedy_cfg3_free"].long())


@both
def test_greedy_edits_with_forced_drums_are_those_of_the_golden_release(reference: Reference, static: bool) -> None:
    prompt = reference.golden["edit.sequence"].long()[..., :PROMPT]
    codes = reference.golden["lm.codes"].long()[..., :62]
    known = torch.zeros((6, 62), dtype=torch.bool)
    known[1] = True
    out = reference.greedy([Grid(codes[i], known).after(prompt[i]) for i in range(2)], static=static)
    assert torch.equal(out[..., PROMPT:], reference.golden["edit.greedy_cfg3_drums_forced"].long())
    assert torch.equal(out[:, 1, PROMPT:], codes[:, 1])


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle ran code')",)


def test_a_hostile_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state_dict.bin"
    torch.save({"best_state": Hostile(), "xp.cfg": ""}, path)
    with pytest.raises(StemsError, match="more than weights"):
        read_released(path)
