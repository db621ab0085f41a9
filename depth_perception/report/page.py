"""One self-contained HTML page: figures, curves, tables and pictures, light and dark, for a screen, a phone, a printer or a voice."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depth_perception.model import as_json, write_atomically

# Canvas and CanvasText are the browser's own colours of the scheme at hand.
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; background: Canvas; color: CanvasText; }
img { max-width: 100%; height: auto; border-radius: 6px; } table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: .25em .8em; border-bottom: 1px solid #8884; text-align: right; } td:first-child, th:first-child { text-align: left; }
figure { margin: 1.5em 0; } figcaption { opacity: .8; } pre { overflow: auto; padding: 1em; background: #8882; border-radius: 6px; }
"""
_STYLE = """
* { box-sizing: border-box; } h1 { margin: 0; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2em 0 .5em; border-bottom: 1px solid #8884; } h3 { margin: 1.5em 0 0; }
header { display: flex; gap: 1em; justify-content: space-between; align-items: start; } header p { margin: .3em 0 0; opacity: .8; }
button { font: inherit; padding: .3em .9em; border: 1px solid #8888; border-radius: 6px; background: none; color: inherit; }
button:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 2px solid #3b82c4; outline-offset: 2px; }
.tiles { display: grid; gap: .8em; grid-template-columns: repeat(auto-fit, minmax(9.5em, 1fr)); padding: 0; margin: 1.5em 0; }
.tiles div { padding: .8em 1em; border-radius: 8px; background: #8881; border: 1px solid #8883; }
.tiles dt { opacity: .8; } .tiles dd { margin: 0; } .tiles dd b { display: block; font-size: 1.5em; line-height: 1.3; }
.charts { display: grid; gap: 0 2em; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26em), 1fr)); }
.chart { margin: 1em 0; max-width: 46em; }
.pictures { display: grid; gap: 1em; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20em), 1fr)); align-items: start; }
.pictures figure { margin: .5em 0; } .pictures .broad { grid-column: 1 / -1; }
.wide { overflow-x: auto; } summary { cursor: pointer; } td.said { text-align: left; }
@media (max-width: 600px) { header { flex-direction: column; } td, th { padding: .25em .5em; } }
@media print { button { display: none; } }
"""
# The reader's choice holds for the page, and where the browser remembers, for the next one as well.
_SCRIPT = """
const root = document.documentElement, button = document.getElementById("scheme");
const dark = () => (root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const say = () => { button.textContent = dark() ? "Light" : "Dark"; };
try { root.style.colorScheme = localStorage.getItem("scheme") || ""; } catch {}
button.onclick = () => {
  root.style.colorScheme = dark() ? "light" : "dark"; say();
  try { localStorage.setItem("scheme", root.style.colorScheme); } catch {}
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say); button.hidden = false; say();
"""


def write(
    path: Path,
    *,
    title: str,
    tables: dict[str, list[list[Any]]],
    pictures: Sequence[tuple[Path, str]],
    summary: dict[str, Any],
    subtitle: str = "",
    tiles: Sequence[tuple[str, str, str]] = (),
    charts: dict[str, list[str]] | None = None,
    moments: dict[str, list[tuple[Path, str]]] | None = None,
) -> None:
    """Writes the page. Nothing of it is loaded from elsewhere.

    Args:
        tables: heading -> rows, the first of which is the header. pictures: image file and caption, which is its alternative text.
        summary: shown as JSON, folded. tiles: name, figure and remark of what counts most. charts: heading -> figures of report.charts.
        moments: heading -> pictures that belong together, below "Moments".
    """
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}{_STYLE}</style></head><body>",
        f"<header><div><h1>{html.escape(title)}</h1>" + (f"<p>{html.escape(subtitle)}</p>" if subtitle else "") + "</div>",
        "<button id=scheme type=button hidden aria-label='light or dark colours'></button></header><main>",
    ]
    if tiles:
        shown = "".join(f"<div><dt>{html.escape(name)}</dt><dd><b>{html.escape(figure)}</b>{html.escape(remark)}</dd></div>"
                        for name, figure, remark in tiles)
        parts.append(f"<dl class=tiles>{shown}</dl>")
    parts += [_table(heading, rows) for heading, rows in list(tables.items())[:1]]
    for heading, figures in (charts or {}).items():
        if drawn := "".join(figures):
            parts.append(f"<h2>{html.escape(heading)}</h2><div class=charts>{drawn}</div>")
    parts += [_table(heading, rows) for heading, rows in list(tables.items())[1:]]
    parts += [_figure(file, caption) for file, caption in pictures]
    if moments:
        parts.append("<h2>Moments</h2>")
        for heading, together in moments.items():
            shown = "".join(_figure(file, caption, broad=index == 0) for index, (file, caption) in enumerate(together))
            parts.append(f"<section><h3>{html.escape(heading)}</h3><div class=pictures>{shown}</div></section>")
    parts.append(f"<h2>Summary</h2><details><summary>everything, as JSON</summary><pre>{html.escape(as_json(summary))}</pre></details>")
    parts.append(f"</main><script>{_SCRIPT}</script></body></html>")
    write_atomically(path, "\n".join(parts))


def _table(heading: str, rows: list[list[Any]]) -> str:
    """Scrolls by itself where it is wider than the screen."""
    body = []
    for index, row in enumerate(rows):
        tag = "th scope=col" if index == 0 else "td"
        cells = [f"<{tag}{' class=said' if _is_sentence(cell) else ''}>{html.escape(_text(cell))}</{tag.split()[0]}>" for cell in row]
        body.append(f"<tr>{''.join(cells)}</tr>")
    said = html.escape(heading)
    return f"<h2>{said}</h2><div class=wide tabindex=0 role=region aria-label='{said}'><table>{''.join(body)}</table></div>"


def _figure(file: Path, caption: str, *, broad: bool = False) -> str:
    kind = "jpeg" if file.suffix == ".jpg" else "png"
    data = base64.b64encode(file.read_bytes()).decode()
    said = html.escape(caption)
    wide = " class=broad" if broad else ""
    return f'<figure{wide}><img alt="{said}" src="data:image/{kind};base64,{data}"><figcaption>{said}</figcaption></figure>'


def _is_sentence(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) > 24


def _text(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
