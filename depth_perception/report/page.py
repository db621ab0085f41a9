"""One self-contained HTML page: a drive's figures and pictures."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

from depth_perception.model import as_json, write_atomically

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
img { max-width: 100%; border-radius: 6px; } table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: .25em .8em; border-bottom: 1px solid #8884; text-align: right; } td:first-child, th:first-child { text-align: left; }
figure { margin: 1.5em 0; } figcaption { opacity: .7; } pre { overflow: auto; padding: 1em; background: #8882; border-radius: 6px; }
"""


def write(path: Path, *, title: str, tables: dict[str, list[list[Any]]], pictures: list[tuple[Path, str]], summary: dict[str, Any]) -> None:
    """Writes the page.

    tables: heading -> rows, the first of which is the header. pictures: image file and caption; embedded.
    """
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>",
    ]
    for heading, rows in tables.items():
        parts.append(f"<h2>{html.escape(heading)}</h2><table>")
        for index, row in enumerate(rows):
            tag = "th" if index == 0 else "td"
            parts.append("<tr>" + "".join(f"<{tag}>{html.escape(_text(cell))}</{tag}>" for cell in row) + "</tr>")
        parts.append("</table>")
    for file, caption in pictures:
        kind = "jpeg" if file.suffix == ".jpg" else "png"
        data = base64.b64encode(file.read_bytes()).decode()
        said = html.escape(caption)
        parts.append(f'<figure><img alt="{said}" src="data:image/{kind};base64,{data}"><figcaption>{said}</figcaption></figure>')
    parts.append(f"<h2>Summary</h2><pre>{html.escape(as_json(summary))}</pre></html>")
    write_atomically(path, "\n".join(parts))


def _text(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
