"""The editing model learns to listen to the stems that it is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.rows import song_row
from helpers.tiny import CODEC, LAYOUT, tiny_codec, tiny_lm

from models.files.digest import directory_digest
from pipelines.table.token_table import TokenTable
from pipelines.training.lm.config import LMTraining
from pipelines.training.lm.train_lm import train_lm

CODES = CODEC.cardinality


def codes(number: int) -> np.ndarray:
    """Drums that answer each bass note one frame later; all else is chance."""
    grid = np.random.default_rng(number).integers(0, CODES, (LAYOUT.streams, 300)).astype(np.int16)
    grid[1, 1:] = (5 * grid[0, :-1] + 3) % CODES
    return grid


@pytest.fixture(scope="module")
def final(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The last validation of a model trained on songs whose drums answer their bass."""
    root = tmp_path_factory.mktemp("context")
    for index, stem in enumerate(LAYOUT.stems):
        tiny_codec(stem.codebooks, seed=index).save(root / "codecs" / stem.name)
    digests = {name: directory_digest(root / "codecs" / name) for name in LAYOUT.names}
    text = ",".join(f"{name}={digest}" for name, digest in digests.items())
    table = TokenTable(str(root / "tokens"))
    table.create()
    rows = [song_row(n, text, "valid" if n % 4 == 0 else "train") for n in range(16)]
    table.commit_tokens([replace(row, codes=codes(n)) for n, row in enumerate(rows)])
    tiny_lm().save(root / "start")
    config = LMTraining(
        table=str(root / "tokens"),
        codecs=str(root / "codecs"),
        output=str(root / "run"),
        start_from=str(root / "start"),
        tracking="off",
        precision="float32",
        steps=150,
        batch=8,
        learning_rate=1e-2,
        warmup_steps=10,
        validation_examples=8,
        validate_every=10_000,
    )
    return train_lm(config).final


def test_the_right_context_tells_what_to_play(final: dict[str, float]) -> None:
    assert final["valid/edit/drums"] < 0.5 * np.log(CODES)
    assert final["valid/edit_wrong_context/drums"] > final["valid/edit/drums"] + 1.5
    assert final["valid/edit_listens/drums"] == 1


def test_a_stem_that_answers_nobody_gains_nothing_from_its_context(final: dict[str, float]) -> None:
    assert final["valid/edit/other"] > 0.95 * np.log(CODES)
    assert abs(final["valid/edit_wrong_context/other"] - final["valid/edit/other"]) < 0.1
