"""Line charts as inline SVG, coloured by the page's style sheet (classes ``axis``, ``grid``, ``line-0`` …)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line to draw: its name, its points (x, y), and the CSS class of its stroke."""

    name: str
    points: Points
    style: str


@dataclass(frozen=True)
class ChartFrame:
    """Size of a chart in SVG units and the margins that hold its labels (left, right, top, bottom)."""

    width: int = 640
    height: int = 280
    margins: tuple[int, int, int, int] = (44, 12, 10, 30)


def line_chart(
    lines: Sequence[Line], level: tuple[str, float] | None, frame: ChartFrame, title: str, x_name: str = "step"
) -> str:
    """An SVG of lines over steps, with a dashed line at ``level`` (name, value) to compare them with.

    The y axis covers all values and need not start at 0. ``title`` is read out by screen readers.
    """
    left, right, top, bottom = frame.margins
    xs = [x for line in lines for x, _ in line.points] or [0.0, 1.0]
    ys = [y for line in lines for _, y in line.points] + ([level[1]] if level else [])
    y_ticks = ticks(min(ys), max(ys), 4)
    x_ticks = [x for x in ticks(0.0, max(xs), 5) if x <= 0.9 * max(xs)]  # the axis' name stands at its end
    low, high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))

    def at(x: float, y: float) -> tuple[float, float]:
        across = x / max(max(xs), 1e-9) * (frame.width - left - right)
        up = (y - low) / max(high - low, 1e-9) * (frame.height - top - bottom)
        return left + across, frame.height - bottom - up

    parts = [f'<svg viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(title)}">']
    end = frame.width - right
    for y in y_ticks:
        _, py = at(0, y)
        parts.append(f'<line class="grid" x1="{left}" x2="{end}" y1="{py:.1f}" y2="{py:.1f}"/>')
        parts.append(f'<text class="axis" x="{left - 8}" y="{py + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in x_ticks:
        px, _ = at(x, low)
        parts.append(f'<text class="axis" x="{px:.1f}" y="{frame.height - 10}" text-anchor="middle">{x:g}</text>')
    parts.append(f'<text class="axis" x="{end}" y="{frame.height - 10}" text-anchor="end">{escape(x_name)}</text>')
    if level:
        _, py = at(0, level[1])
        parts.append(f'<line class="level" x1="{left}" x2="{end}" y1="{py:.1f}" y2="{py:.1f}"/>')
    for line in lines:
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(x, y) for x, y in line.points))
        parts.append(f'<polyline class="{line.style}" points="{path}"><title>{escape(line.name)}</title></polyline>')
        if line.points:
            px, py = at(*line.points[-1])
            parts.append(f'<circle class="{line.style} dot" cx="{px:.1f}" cy="{py:.1f}" r="3"/>')
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from just below ``low`` to just above ``high``, about ``count`` of them."""
    raw = max(high - low, 1e-6) / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(round(k * step, 10)) for k in np.arange(first, last + 1)]
