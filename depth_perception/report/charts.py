"""Small charts as SVG that takes its colours from the page around it: light or dark."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _BELOW = 520, 150, 46, 22
ACCENT, ALARM = "#3b82c4", "#d9534f"
# Told apart on white and on black, and by their dashes without any colour.
_STROKES = ((ACCENT, ""), ("#d97706", "6 3"), ("#2f9e62", "2 3"), ("#b455c4", "9 3 2 3"), (ALARM, "1 2"))


def bars(edges: Sequence[float], counts: Sequence[float], *, label: str, unit: str) -> str:
    """A histogram: counts between neighbouring edges."""
    top = max([*counts, 1])
    first, last = edges[0], edges[-1]
    wide, high = _WIDTH - _LEFT - 4, _HEIGHT - _BELOW - 4
    parts = []
    for low, up, count in zip(edges, edges[1:], counts, strict=False):
        x, w = _LEFT + (low - first) / (last - first) * wide, (up - low) / (last - first) * wide
        h = count / top * high
        parts.append(f'<rect x="{x:.1f}" y="{4 + high - h:.1f}" width="{max(w - 1, 1):.1f}" height="{h:.1f}" fill="{ACCENT}">'
                     f"<title>{low:g} to {up:g} {unit}: {count:g}</title></rect>")
    return _frame("".join(parts), label=label, x=(first, last, unit), y=(0, top))


def line(at: Sequence[float], values: Sequence[float | None], *, label: str, unit: str) -> str:
    """A curve over seconds; None parts it."""
    known = [v for v in values if v is not None]
    if not known or not at:
        return ""
    low, high = min(0.0, *known), max(*known, 1e-9) if len(known) > 1 else max(known[0], 1e-9)
    first, last = at[0], max(at[-1], at[0] + 1e-9)
    body = f'<path d="{_path(at, values, x=(first, last), y=(low, high))}" fill="none" stroke="{ACCENT}" stroke-width="1.6"/>'
    return _frame(body, label=f"{label}, {unit}", x=(first, last, "s"), y=(low, high))


def _path(at: Sequence[float], values: Sequence[float | None], *, x: tuple[float, float], y: tuple[float, float]) -> str:
    """The curve in pixels of the frame; None parts it."""
    wide, tall = _WIDTH - _LEFT - 4, _HEIGHT - _BELOW - 4
    path, pen = [], "M"
    for t, value in zip(at, values, strict=True):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{_LEFT + (t - x[0]) / (x[1] - x[0]) * wide:.1f} {4 + tall - (value - y[0]) / (y[1] - y[0]) * tall:.1f}")
        pen = "L"
    return " ".join(path)


def lines(at: Sequence[float], curves: Mapping[str, Sequence[float | None]], *, label: str, unit: str) -> str:
    """Several curves over the same seconds, with a legend; None parts a curve."""
    known = [v for values in curves.values() for v in values if v is not None]
    if not known or not at:
        return ""
    low, high = min(0.0, *known, 0.0), max(*known, 1e-9, 1e-9)
    first, last = at[0], max(at[-1], at[0] + 1e-9)
    parts = []
    for (name, values), (colour, dash) in zip(curves.items(), _STROKES, strict=False):
        path = _path(at, values, x=(first, last), y=(low, high))
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}">'
                     f"<title>{html.escape(name)}</title></path>")
    return _frame("".join(parts), label=f"{label}, {unit}", x=(first, last, "s"), y=(low, high), legend=list(curves))


def paths(curves: Mapping[str, np.ndarray], *, label: str) -> str:
    """Name -> (N, >=2) positions x, y in metres, seen from above, a metre as long in x as in y; x to the right. With a scale."""
    known = {name: np.asarray(path, np.float64)[:, :2] for name, path in curves.items() if len(path)}
    if not known:
        return ""
    whole = np.concatenate(list(known.values()))
    low, high = whole.min(0), whole.max(0)
    width, edge = 520.0, 18.0
    pixels_per_m = min((width - 2 * edge) / max(high[0] - low[0], 1e-3), 250.0 / max(high[1] - low[1], 1e-3), 60.0)
    height = max((high[1] - low[1]) * pixels_per_m + 2 * edge + 44, 110.0)
    corner = np.array([width / 2, (height - 44) / 2]) - np.array([1, -1]) * (low + high) / 2 * pixels_per_m
    parts = []
    for (name, path), (colour, dash) in zip(known.items(), _STROKES, strict=False):
        at = corner + path * [pixels_per_m, -pixels_per_m]
        drawn = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
        parts.append(f'<path d="M{drawn}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}" stroke-linejoin="round">'
                     f'<title>{html.escape(name)}</title></path><circle cx="{at[0, 0]:.1f}" cy="{at[0, 1]:.1f}" r="4" fill="{colour}"/>')
    metres = max((m for m in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 20000) if m * pixels_per_m < width / 3), default=1)
    parts.append(f'<path d="M{edge} {height - 34}v6h{metres * pixels_per_m:.1f}v-6" fill="none" stroke="currentColor" stroke-opacity=".6"/>'
                 f'<text x="{edge + 4}" y="{height - 38}" font-size="11" fill="currentColor">{metres:g} m</text>')
    said = html.escape(label)
    return (f'<figure class="chart"><svg viewBox="0 0 {width:g} {height:g}" width="100%" role="img" aria-label="{said}">'
            f'{"".join(parts)}{_legend(list(known), height - 6)}</svg><figcaption>{said}</figcaption></figure>')


def strip(counts: Sequence[int], *, label: str, steady: bool) -> str:
    """Messages over the bag's time, as one row: the fuller the darker; a silence of a steady topic is red."""
    top, width = max([*counts, 1]), 600 / max(len(counts), 1)
    parts = []
    for index, count in enumerate(counts):
        colour, opacity = (ACCENT, 0.25 + 0.75 * count / top) if count else (ALARM, 1.0 if steady else 0.0)
        parts.append(f'<rect x="{index * width:.2f}" width="{width + 0.1:.2f}" height="12" fill="{colour}" fill-opacity="{opacity:.2f}"/>')
    return (f'<svg viewBox="0 0 600 12" preserveAspectRatio="none" width="100%" height="12" role="img" aria-label="{html.escape(label)}">'
            f"{''.join(parts)}</svg>")


def _legend(names: Sequence[str], y: float) -> str:
    """A stroke and a name each, side by side."""
    parts, x = [], float(_LEFT)
    for name, (colour, dash) in zip(names, _STROKES, strict=False):
        parts.append(f'<path d="M{x:.0f} {y - 4:.0f}h22" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
                     f'<text x="{x + 27:.0f}" y="{y:.0f}" font-size="11" fill="currentColor">{html.escape(name)}</text>')
        x += 27 + 6.4 * len(name) + 18
    return "".join(parts)


def _frame(body: str, *, label: str, x: tuple[float, float, str], y: tuple[float, float], legend: Sequence[str] = ()) -> str:
    bottom = _HEIGHT - _BELOW
    words = 'font-size="11" fill="currentColor" fill-opacity=".75"'
    axes = (f'<path d="M{_LEFT} 4V{bottom}H{_WIDTH - 4}" fill="none" stroke="currentColor" stroke-opacity=".4"/>'
            f'<text x="{_LEFT}" y="{_HEIGHT - 6}" {words}>{x[0]:g} {x[2]}</text>'
            f'<text x="{_WIDTH - 4}" y="{_HEIGHT - 6}" text-anchor="end" {words}>{x[1]:.4g} {x[2]}</text>'
            f'<text x="{_LEFT - 5}" y="13" text-anchor="end" {words}>{y[1]:.3g}</text>'
            f'<text x="{_LEFT - 5}" y="{bottom}" text-anchor="end" {words}>{y[0]:.3g}</text>')
    said = html.escape(label)
    tall = _HEIGHT + 18 * bool(legend)
    axes += _legend(legend, tall - 4)
    return (f'<figure class="chart"><svg viewBox="0 0 {_WIDTH} {tall}" width="100%" role="img" aria-label="{said}">{body}{axes}</svg>'
            f"<figcaption>{said}</figcaption></figure>")
