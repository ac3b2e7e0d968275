"""SVG shapes of the plots; colours come from the page's style sheet by class."""

from collections.abc import Iterable

from markupsafe import Markup, escape


def drawing(
    width: float, height: float, description: str, shapes: Iterable[str], *, fixed: bool = False
) -> Markup:
    """Return an `<svg>` element that a screen reader presents as one image.

    It scales with the width of its column. If it is `fixed`, a unit is a pixel.
    """
    size = f' style="width: {width:g}px"' if fixed else ""
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}"{size} role="img" '
        f'aria-label="{escape(description)}">'
        f"{''.join(shapes)}</svg>"
    )


def text(
    x: float, y: float, content: str, style: str = "", anchor: str = "start", turn: float = 0
) -> str:
    """Return text with its baseline at y, turned clockwise about (x, y) by `turn` degrees."""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}"{turned}>'
        f"{escape(content)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def polyline(points: Iterable[tuple[float, float]], style: str) -> str:
    """Return a line through all points in their order."""
    coordinates = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{coordinates}" class="{style}"/>'


def circle(x: float, y: float, radius: float, style: str, hint: str = "") -> str:
    """Return a dot; the hint shows on hover."""
    shape = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="{style}"'
    return f"<circle {shape}>{_title(hint)}</circle>"


def rectangle(x: float, y: float, width: float, height: float, style: str, hint: str = "") -> str:
    """Return a rectangle with its upper left corner at (x, y); the hint shows on hover."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'class="{style}">{_title(hint)}</rect>'
    )


def _title(hint: str) -> str:
    return f"<title>{escape(hint)}</title>" if hint else ""
