from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from models.audio.files import Audio
from pipelines.demo.charts import ChartFrame, Line, line_chart, ticks
from pipelines.demo.spectrograms import log_spectrogram, write_spectrogram


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.9, 6.6), (4.01, 4.02), (0.0, 800.0), (5.0, 5.0)])
def test_ticks_are_few_round_and_cover_the_range(low: float, high: float) -> None:
    marks = ticks(low, high, 4)
    assert marks[0] <= low
    assert marks[-1] >= high
    assert len(marks) <= 7
    assert len({f"{mark:g}" for mark in marks}) == len(marks)


def test_line_chart_draws_every_point_inside_its_frame() -> None:
    frame = ChartFrame(width=300, height=200, margins=(40, 10, 10, 30))
    lines = [Line("a < b", [(0, 5.0), (50, 3.0), (100, 4.0)], "line-0"), Line("b", [(0, 6.0)], "line-1")]
    svg = ElementTree.fromstring(line_chart(lines, ("level", 3.5), frame, "losses & more"))
    first, second = svg.findall("polyline")
    points = [tuple(map(float, pair.split(","))) for pair in first.attrib["points"].split()]
    assert [x for x, _ in points] == pytest.approx([40, 165, 290])
    assert all(10 <= y <= 170 for _, y in points)
    assert points[0][1] < points[2][1] < points[1][1]  # greater values lie higher
    assert len(second.attrib["points"].split()) == 1
    level = next(line for line in svg.findall("line") if line.attrib["class"] == "level")
    assert points[2][1] < float(level.attrib["y1"]) < points[1][1]


def test_log_spectrogram_shows_a_tone_at_its_pitch() -> None:
    rate = 32_000
    time = np.arange(rate) / rate
    tone = Audio(np.sin(2 * np.pi * 640 * time, dtype=np.float64).astype(np.float32)[None], rate)
    levels = log_spectrogram(tone)
    peak = int(levels.mean(axis=1).argmax())
    # 40 Hz to 16 kHz: 640 Hz is four of the 8.64 octaves up.
    assert peak == pytest.approx(4 / np.log2(400) * len(levels), abs=3)
    assert levels.max() == 0.0
    assert levels.min() >= -80.0
    assert (log_spectrogram(Audio(np.zeros((2, rate), np.float32), rate)) == -80.0).all()


def test_write_spectrogram_makes_a_png(tmp_path: Path) -> None:
    audio = Audio(np.random.default_rng(0).standard_normal((2, 8000)).astype(np.float32), 16_000)
    path = write_spectrogram(audio, tmp_path / "new" / "noise.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 2000
