"""Charts as SVG texts, for files and for pages that hold everything themselves: curve, scatter, histogram, shares with intervals.

A series is a name and its values. Values that are no finite numbers are left out. Names and titles may hold any text. The colours follow
the reader's light or dark scheme; the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any, NamedTuple

import numpy as np

Points = Mapping[str, tuple[Any, Any]]
"""By name the x and the y values."""
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 68, 16, 58, 46
MOST = 2_000
"""Points of a series: beyond it a scatter shows every n-th, and a curve the mean of every n."""
NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'
COLOURS = (("#0b62a4", "#6db3f2"), ("#c4510a", "#ff9e5e"), ("#2a7d3f", "#6fcf8b"), ("#7d3fa0", "#cf9bee"), ("#666", "#aaa"))
"""Light and dark; blue and orange are told apart by all kinds of eyes."""
STYLE = (
    ".chart text{font:12px system-ui,sans-serif;fill:#333}.chart .head{font-size:14px;font-weight:600}.chart .grid{stroke:#ddd}"
    ".chart .base{stroke:#777;stroke-dasharray:4 3;fill:none}.chart .line{fill:none;stroke-width:2}.chart .area{fill-opacity:.25}"
    + "".join(f".chart .s{i}{{stroke:{light};color:{light}}}" for i, (light, _) in enumerate(COLOURS))
    + ".chart .fill{fill:currentColor;stroke:none!important}.chart .area{fill:currentColor}"
    "@media(prefers-color-scheme:dark){.chart text{fill:#ddd}.chart .grid{stroke:#444}.chart .base{stroke:#aaa}"
    + "".join(f".chart .s{i}{{stroke:{dark};color:{dark}}}" for i, (_, dark) in enumerate(COLOURS))
    + "}"
)


class Plane(NamedTuple):
    """The ranges that the axes show, and where a point lies in the chart."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: int = HEIGHT
    left: int = LEFT

    def across(self, x: float) -> float:
        return self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - RIGHT - self.left)

    def up(self, y: float) -> float:
        return self.height - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - BOTTOM - TOP)

    def path(self, x: Any, y: Any) -> str:
        return "M" + "L".join(f"{self.across(a):.1f} {self.up(b):.1f}" for a, b in zip(x, y, strict=True))


def curve(series: Points, title: str, x: str, y: str, *, dots: bool = False, diagonal: bool = False) -> str:
    """Lines, as of a loss over steps. `dots` marks the points, `diagonal` draws y = x, and both axes show the same."""
    drawn = {name: _thinned(*_finite(*xy)) for name, xy in series.items()}
    xs, ys = ([v[k] for v in drawn.values()] for k in (0, 1))
    plane = Plane(_range(xs + ys), _range(xs + ys)) if diagonal else Plane(_range(xs), _range(ys))
    body = [_diagonal(plane)] if diagonal else []
    for i, (a, b) in enumerate(drawn.values()):
        body += [f'<path class="line s{_colour(i)}" d="{plane.path(a, b)}"/>'] if len(a) else []
        body += [_dots(plane, a, b, i, 3, 1.0)] if dots or len(a) == 1 else []
    return _chart(plane, title, x, y, list(series), body)


def scatter(series: Points, title: str, x: str, y: str, *, level: float | None = None) -> str:
    """Points; `level` draws a horizontal line."""
    drawn = []
    for xs, ys in series.values():
        a, b = _finite(xs, ys)
        every = max(1, ceil(len(a) / MOST))
        drawn.append((a[::every], b[::every]))
    plane = Plane(_range([a for a, _ in drawn]), _range([*(b for _, b in drawn), *([] if level is None else [[level]])]))
    body = [] if level is None else [f'<path class="base" d="{plane.path(plane.x, (level, level))}"/>']
    body += [_dots(plane, a, b, i, 2, 0.5) for i, (a, b) in enumerate(drawn)]
    return _chart(plane, title, x, y, list(series), body)


def histogram(series: Mapping[str, Any], title: str, x: str, *, bins: int = 50, level: float | None = None) -> str:
    """The share of each series in bins of equal width over all of them; `level` draws a vertical line."""
    values = {name: _finite(v, v)[0] for name, v in series.items()}
    low, high = _range([*values.values(), *([] if level is None else [[level]])])
    edges = np.linspace(low, high, bins + 1)
    shares = {name: np.histogram(v, edges)[0] / max(1, len(v)) for name, v in values.items()}
    top = max((float(s.max()) for s in shares.values()), default=0.0)
    plane = Plane((low, high), (0.0, 1.05 * top or 1.0))
    body = []
    for i, s in enumerate(shares.values()):
        steps = plane.path(np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(s, 2), [0.0]]))
        body.append(f'<path class="area s{_colour(i)}" d="{steps}"/>' if s.any() else "")
    body += [] if level is None else [f'<path class="base" d="{plane.path((level, level), plane.y)}"/>']
    return _chart(plane, title, x, "share", list(series), body)


def bars(rows: Sequence[tuple[str, float, float, float]], title: str, x: str, *, level: float | None = None) -> str:
    """A line per row of (name, value, low, high): a point in its interval, on an axis from 0 to 1. `level` draws a vertical line."""
    left, height = 220, TOP + BOTTOM + 22 * max(1, len(rows))
    plane = Plane((0.0, 1.0), (float(len(rows)) or 1.0, 0.0), height, left)
    body = [] if level is None else [f'<path class="base" d="{plane.path((level, level), plane.y)}"/>']
    for i, (name, value, low, high) in enumerate(rows):
        at = i + 0.5
        body.append(f'<path class="line s0" d="{plane.path((low, high), (at, at))}"/>')
        body.append(_dots(plane, [value], [at], 0, 4, 1.0))
        body.append(f'<text x="{left - 8}" y="{plane.up(at) + 4:.1f}" text-anchor="end">{escape(_short(name, 32))}</text>')
    return _chart(plane, title, x, "", [], body, rows=True)


def inline(svg: str) -> str:
    """A chart for an HTML page, where an SVG element needs no namespace."""
    return svg.replace(NAMESPACE, "", 1)


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers in the range: steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** floor(log10((high - low) / about))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= about)
    return [round(i * step, 12) for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _chart(plane: Plane, title: str, x: str, y: str, names: list[str], body: list[str], *, rows: bool = False) -> str:
    end, floor_ = WIDTH - RIGHT, plane.height - BOTTOM
    out = [f'<svg{NAMESPACE} class="chart" viewBox="0 0 {WIDTH} {plane.height}" width="{WIDTH}" height="{plane.height}" role="img">']
    out += [f"<title>{escape(title)}</title><style>{STYLE}</style>", f'<text class="head" x="{LEFT}" y="20">{escape(title)}</text>']
    for v in ticks(*plane.x):
        a = plane.across(v)
        out.append(f'<path class="grid" d="M{a:.1f} {TOP}V{floor_}"/>')
        out.append(f'<text x="{a:.1f}" y="{floor_ + 16}" text-anchor="middle">{v:g}</text>')
    for v in [] if rows else ticks(*plane.y):
        b = plane.up(v)
        out.append(f'<path class="grid" d="M{plane.left} {b:.1f}H{end}"/>')
        out.append(f'<text x="{plane.left - 6}" y="{b + 4:.1f}" text-anchor="end">{v:g}</text>')
    out.append(f'<text x="{(plane.left + end) / 2:.0f}" y="{plane.height - 8}" text-anchor="middle">{escape(x)}</text>')
    if y:
        out.append(f'<text transform="translate(14 {(TOP + floor_) / 2:.0f}) rotate(-90)" text-anchor="middle">{escape(y)}</text>')
    at = float(plane.left)
    for i, name in enumerate(names if len(names) > 1 else []):
        words = _short(name, 28)
        out.append(f'<rect class="fill s{_colour(i)}" x="{at:.0f}" y="33" width="10" height="10"/>')
        out.append(f'<text x="{at + 14:.0f}" y="42">{escape(words)}</text>')
        at += 34 + 6.5 * len(words)
    return "\n".join([*out, *(b for b in body if b), "</svg>"]) + "\n"


def _dots(plane: Plane, x: Any, y: Any, i: int, r: float, opacity: float) -> str:
    dots = "".join(f'<circle cx="{plane.across(a):.1f}" cy="{plane.up(b):.1f}" r="{r:g}"/>' for a, b in zip(x, y, strict=True))
    return f'<g class="fill s{_colour(i)}" fill-opacity="{opacity:g}">{dots}</g>'


def _diagonal(plane: Plane) -> str:
    return f'<path class="base" d="{plane.path(plane.x, plane.x)}"/>'


def _colour(i: int) -> int:
    return min(i, len(COLOURS) - 1)


def _finite(x: Any, y: Any) -> tuple[Any, Any]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    there = np.isfinite(a) & np.isfinite(b)
    return a[there], b[there]


def _thinned(x: Any, y: Any) -> tuple[Any, Any]:
    every = ceil(len(x) / MOST)
    if every <= 1:
        return x, y
    begins = np.arange(0, len(x), every)
    return tuple(np.add.reduceat(v, begins) / np.diff([*begins, len(v)]) for v in (x, y))  # type: ignore[return-value]


def _range(parts: Sequence[Any]) -> tuple[float, float]:
    """From the least to the largest value, with a little room; something to draw where there is none."""
    values = np.concatenate([np.empty(0), *(np.asarray(part, np.float64) for part in parts)])
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.03 * (high - low) if high - low > 1e-9 * max(abs(low), abs(high)) else 0.5 * max(abs(high), 1e-3)
    return low - room, high + room


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


__all__ = ["bars", "curve", "histogram", "inline", "scatter", "ticks"]
