"""What a run would do, and what it would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.prepared import settings, tone

from models.audio.files import encode_audio
from pipelines.tokens.config import PlanConfig
from pipelines.tokens.estimate import plan


def test_a_plan_says_what_would_run_and_writes_nothing(tiny_models: Any, tmp_path: Path) -> None:
    for k in range(4):
        (tmp_path / "songs").mkdir(exist_ok=True)
        (tmp_path / "songs" / f"{k}.wav").write_bytes(encode_audio(tone(k)))
    (tmp_path / "songs" / "3.json").write_text('{"tags": ["rap"]}')
    kept = {"keep_stems": str(tmp_path / "stems")}
    said = plan(PlanConfig(**settings(tiny_models, tmp_path, **kept), sample=2, workers=[1, 4], price_per_hour=2.0))
    assert (said.files, said.settled, said.to_read, said.to_tokenize) == (4, 1, 3, 3)
    assert said.hours == pytest.approx(3 * 1.2 / 3600, rel=0.01)
    assert said.speed.songs == 2
    assert set(said.speed.by_stage) == {"inspect", "decode", "listen", "separate", "encode"}
    assert said.wall_hours[1] == pytest.approx(4 * said.wall_hours[4]) == pytest.approx(said.worker_hours)
    assert said.price == pytest.approx(2 * said.worker_hours)
    assert {path.name for path in tmp_path.iterdir()} == {"songs"}
