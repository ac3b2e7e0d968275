"""Files of the web page at `/`: HTML, style, script, and drawn examples of tissue."""

import io
from functools import cache
from importlib.resources import files

from mint_ray.images.tissue.captioned import draw_captioned_tiles

_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/mark.svg": ("mark.svg", "image/svg+xml"),
}
_EXAMPLES = {f"/examples/{number}.png": number - 1 for number in range(1, 5)}
_SIDE = 256  # of an example, in pixels


def paths() -> tuple[str, ...]:
    """Return the paths of all static files; they are public, because they reveal nothing."""
    return (*_FILES, *_EXAMPLES)


def read(path: str) -> tuple[bytes, str]:
    """Return content and media type of a static file.

    Args:
        path: one of `paths()`.
    """
    if path in _EXAMPLES:
        return _examples()[_EXAMPLES[path]], "image/png"
    name, kind = _FILES[path]
    return files("mint_ray.serving.http").joinpath("page", name).read_bytes(), kind


@cache
def _examples() -> list[bytes]:
    encoded = []
    for tile in draw_captioned_tiles(len(_EXAMPLES), _SIDE, seed=11):
        buffer = io.BytesIO()
        tile.image.save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    return encoded
