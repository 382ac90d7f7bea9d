"""How far a job is can be read in its log, wherever it runs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipelines.tokens.run.progress import LINE_S, Rate, logged


def test_a_stage_says_its_rate_and_the_time_left_every_half_minute_and_at_its_end() -> None:
    now = [0.0]
    rate, lines = Rate("tokenize", 100, clock=lambda: now[0]), []
    for _ in range(100):
        now[0] += 3.0
        rate.advance(6.0)
        lines.append(rate.line())
    said = [line for line in lines if line]
    assert len(said) == 100 * 3.0 / LINE_S
    assert said[0] == "tokenize: 10 of 100 songs, 20 songs/min, 2.0 × real time, 4 min 30 s left"
    assert said[-1] == "tokenize: 100 of 100 songs, 20 songs/min, 2.0 × real time, done in 5 min 0 s"


def test_a_log_file_is_made_with_its_first_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "reports" / "run.log"
    with logged(file):
        assert not file.parent.exists()
        logging.getLogger("pipelines.tokens.run.progress").info("tokenize: 3 of 5 songs")
        logging.getLogger("cluster.watch").warning("lost node 10.0.0.2")
        logging.getLogger("cluster.ray").debug("a page of Ray's")
    assert [line.split(" ", 2)[2] for line in file.read_text().splitlines()] == [
        "tokenize: 3 of 5 songs",
        "lost node 10.0.0.2",
        "a page of Ray's",
    ]
    said = capsys.readouterr().err
    assert "lost node 10.0.0.2" in said
    assert "a page of Ray's" not in said
    logging.getLogger("cluster.watch").warning("later")
    assert "later" not in file.read_text()


def test_a_log_that_has_nothing_to_say_leaves_no_file(tmp_path: Path) -> None:
    with logged(tmp_path / "reports" / "run.log"):
        pass
    assert list(tmp_path.iterdir()) == []
