"""Small charts as SVG that takes its colours from the page around it: light or dark."""

from __future__ import annotations

import html
from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT, _BELOW = 520, 150, 46, 22
ACCENT, ALARM = "#3b82c4", "#d9534f"


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
    wide, tall = _WIDTH - _LEFT - 4, _HEIGHT - _BELOW - 4
    path, pen = [], "M"
    for t, value in zip(at, values, strict=True):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{_LEFT + (t - first) / (last - first) * wide:.1f} {4 + tall - (value - low) / (high - low) * tall:.1f}")
        pen = "L"
    body = f'<path d="{" ".join(path)}" fill="none" stroke="{ACCENT}" stroke-width="1.6"/>'
    return _frame(body, label=f"{label}, {unit}", x=(first, last, "s"), y=(low, high))


def strip(counts: Sequence[int], *, label: str, steady: bool) -> str:
    """Messages over the bag's time, as one row: the fuller the darker; a silence of a steady topic is red."""
    top, width = max([*counts, 1]), 600 / max(len(counts), 1)
    parts = []
    for index, count in enumerate(counts):
        colour, opacity = (ACCENT, 0.25 + 0.75 * count / top) if count else (ALARM, 1.0 if steady else 0.0)
        parts.append(f'<rect x="{index * width:.2f}" width="{width + 0.1:.2f}" height="12" fill="{colour}" fill-opacity="{opacity:.2f}"/>')
    return (f'<svg viewBox="0 0 600 12" preserveAspectRatio="none" width="100%" height="12" role="img" aria-label="{html.escape(label)}">'
            f"{''.join(parts)}</svg>")


def _frame(body: str, *, label: str, x: tuple[float, float, str], y: tuple[float, float]) -> str:
    bottom = _HEIGHT - _BELOW
    words = 'font-size="11" fill="currentColor" fill-opacity=".75"'
    axes = (f'<path d="M{_LEFT} 4V{bottom}H{_WIDTH - 4}" fill="none" stroke="currentColor" stroke-opacity=".4"/>'
            f'<text x="{_LEFT}" y="{_HEIGHT - 6}" {words}>{x[0]:g} {x[2]}</text>'
            f'<text x="{_WIDTH - 4}" y="{_HEIGHT - 6}" text-anchor="end" {words}>{x[1]:.4g} {x[2]}</text>'
            f'<text x="{_LEFT - 5}" y="13" text-anchor="end" {words}>{y[1]:.3g}</text>'
            f'<text x="{_LEFT - 5}" y="{bottom}" text-anchor="end" {words}>{y[0]:.3g}</text>')
    said = html.escape(label)
    return (f'<figure class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" aria-label="{said}">{body}{axes}</svg>'
            f"<figcaption>{said}</figcaption></figure>")
