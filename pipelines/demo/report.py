"""The demo's report: one HTML page that plays what was made and states what happened."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipelines.demo.charts import ChartFrame, Line, line_chart
from pipelines.demo.results import DemoResults, LossCurve, number

REPORT_FILE = "report.html"
_TEMPLATE = Path(__file__).with_name("report_template.html")
_SMALL = ChartFrame(width=300, height=170, margins=(38, 10, 8, 28))


def write_report(results: DemoResults, folder: Path) -> Path:
    """Write ``report.html`` into ``folder``; audio and pictures are linked relative to it."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"link": lambda path: _link(path, folder), "duration": _duration, "number": number}
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        results=results,
        lost=results.shortfalls(),
        total=sum(step.seconds for step in results.steps),
        slowest=max((step.seconds for step in results.steps), default=1.0) or 1.0,
        # Our own SVG: its text is escaped where it is drawn.
        mean_chart=Markup(mean_chart(results.loss)),
        stream_charts=[(name, Markup(stream_chart(results.loss, name))) for name in results.loss.entropy],
    )
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{REPORT_FILE}.{os.getpid()}.partial"
    partial.write_text(page, encoding="utf-8")
    return partial.replace(folder / REPORT_FILE)


def mean_chart(loss: LossCurve) -> str:
    """Training loss and the mean of the streams' validation losses against their mean unigram entropy."""
    validation = [(step, float(np.mean(list(streams.values())))) for step, streams in loss.validation]
    lines = [Line("training", loss.training, "line-0"), Line("validation", validation, "line-1")]
    level = ("unigram entropy", float(np.mean(list(loss.entropy.values()))))
    return line_chart(lines, level, ChartFrame(), "Loss by step, mean over streams")


def stream_chart(loss: LossCurve, stream: str) -> str:
    """One stream's validation loss against its unigram entropy."""
    line = Line(stream, [(step, streams[stream]) for step, streams in loss.validation], "line-1")
    return line_chart([line], ("unigram entropy", loss.entropy[stream]), _SMALL, f"Validation loss of {stream}")


def _link(path: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
