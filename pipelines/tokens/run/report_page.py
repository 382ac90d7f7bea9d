"""A prepare run's report as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from pipelines.tokens.run.report import STAGES, Histogram, PrepareReport

_TEMPLATE = Path(__file__).with_name("report.html")
_TITLES = {
    "seconds": "Length",
    "loudness": "Loudness",
    "vocal_score": "Vocal score",
    "silence": "Silence",
    "clipped": "Clipping",
    "residual_db": "What separation leaves over, against the mix",
}
WIDTH, HEIGHT = 240.0, 64.0
"""Size of a histogram in SVG units, without the labels below it."""


@dataclass(frozen=True)
class Bar:
    """One bin as drawn: left edge and height in SVG units, and its label."""

    x: float
    height: float
    said: str


@dataclass(frozen=True)
class Chart:
    """A histogram as drawn; all bars have the same width, whatever their bins."""

    title: str
    songs: int
    bar_width: float
    bars: tuple[Bar, ...]
    ends: tuple[str, str]


def html_page(report: PrepareReport) -> str:
    """The page. It needs no other file and runs no script; texts of songs are escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"duration": _duration, "number": _number, "percent": _percent}
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        speed=3600 * report.hours / report.seconds if report.seconds else 0.0,
        busiest=max((stage.busy_seconds for stage in report.stages), default=0.0) or 1.0,
        left_out=_left_out(report),
        charts=[chart(_TITLES[name], histogram) for name, histogram in report.histograms.items()],
        stages=STAGES,
        width=WIDTH,
        height=HEIGHT,
    )


def chart(title: str, histogram: Histogram) -> Chart:
    """The bars of a histogram: their places and labels."""
    width, most = WIDTH / len(histogram.counts), max(histogram.counts, default=0) or 1
    bars = [
        Bar(round(k * width, 2), round(HEIGHT * songs / most, 2), f"{_bin(histogram, k)}: {songs}")
        for k, songs in enumerate(histogram.counts)
        if songs
    ]
    unit = f" {histogram.unit}" if histogram.unit else ""
    ends = (_edge(histogram.edges[0]), f"{_edge(histogram.edges[-1])}{unit}")
    return Chart(title, sum(histogram.counts), round(width, 2), tuple(bars), ends)


def _bin(histogram: Histogram, k: int) -> str:
    low, high = _edge(histogram.edges[k]), _edge(histogram.edges[k + 1])
    said = f"below {high}" if k == 0 else f"{low} and more" if k == len(histogram.counts) - 1 else f"{low} to {high}"
    return f"{said} {histogram.unit}".rstrip()


def _left_out(report: PrepareReport) -> list[tuple[str, str, int]]:
    """Why songs are not in the table: kind, reason and number, the most frequent first."""
    rows = [("quarantined", reason, files) for reason, files in report.quarantined.items()]
    rows += [("dropped for vocals", rule, songs) for rule, songs in report.dropped_by.items()]
    if report.duplicates:
        rows.append(("duplicate", "same samples as another file", report.duplicates))
    if report.removed:
        rows.append(("removed", "taken down earlier", report.removed))
    return sorted(rows, key=lambda row: (-row[2], row[1]))


def _edge(value: float) -> str:
    return np.format_float_positional(value, trim="-").replace("-", "−")


def _number(value: float, digits: int = 1) -> str:
    return f"{value:,.{digits}f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    if hours:
        return f"{hours:,} h {rest // 60:02d} min"
    return f"{rest // 60} min {rest % 60:02d} s" if rest >= 60 else f"{seconds:.1f} s"
