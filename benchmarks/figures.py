"""SVG files of the benchmarks' figures, in a light theme, from the shapes of the reports."""

from collections.abc import Iterable
from pathlib import Path

from mint_ray.reports.svg import drawing

STYLE = """
svg { background: #fff; font-family: system-ui, sans-serif; }
text { fill: #5b6370; font-size: 12px; } .label { fill: #1c1f24; }
.grid { stroke: #e4e1d9; } .zero { stroke: #8b8578; stroke-dasharray: 4 4; }
.curve { fill: none; stroke: var(--system); stroke-width: 2; }
.whisker { stroke: var(--system); stroke-width: 2; stroke-linecap: round; opacity: .6; }
.dot { fill: var(--system); stroke: #fff; }
.c-rose { --system: #b3275d; } .c-grey { --system: #7b7f87; }
.c-teal { --system: #0b7a71; } .c-amber { --system: #b4570a; } .c-indigo { --system: #4b45b5; }
"""


def write_figure(
    path: Path, width: float, height: float, description: str, shapes: Iterable[str]
) -> None:
    """Write a standalone SVG file, with its style inside.

    Args:
        width: width in pixels.
        height: height in pixels.
        description: text for screen readers.
        shapes: shapes of `mint_ray.reports.svg`.
    """
    content = str(drawing(width, height, description, [f"<style>{STYLE}</style>", *shapes]))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
    path.write_text(content.replace("<svg", head, 1) + "\n", encoding="utf-8")
