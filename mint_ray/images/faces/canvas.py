"""Smooth outlines and a small canvas for the schematic face.

Coordinates have their origin between the eyes and y downwards; the head is about 90 units high.
Every shape is a polygon: its points are computed with numpy and placed by one affine map. Pillow
fills it at `_SCALE` times the image's size, and the result is averaged down.
"""

import io
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from mint_ray.common.arrays import Floats

SIZE = 112
_SCALE = 2
_EYE_LINE = 54.0
_ZOOM = 1.14  # image pixels per pixel of face coordinates: the head fills the crop

Points = Floats
Colour = tuple[int, int, int]

_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


class Canvas:
    """An RGB image that takes blended polygons in face coordinates.

    `pose` varies roll, size and position a little, as an aligned face crop does.
    `asymmetry` lowers one half of everything drawn by that many pixels.
    """

    def __init__(self, pose: np.random.Generator, asymmetry: float = 0.0) -> None:
        background = tuple(int(v) for v in pose.integers(150, 236, 3))
        self._image = Image.new("RGB", (SIZE * _SCALE, SIZE * _SCALE), background)
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._asymmetry = asymmetry
        angle = math.radians(_bounded(pose, 1.5))
        size = _SCALE * _ZOOM * (1 + 0.012 * _bounded(pose, 1.0))
        mirror = -1.0 if pose.random() < 0.5 else 1.0
        cos, sin = size * math.cos(angle), size * math.sin(angle)
        self._matrix = np.array([[mirror * cos, mirror * sin], [-sin, cos]])
        shift = np.array([_bounded(pose, 0.8), _bounded(pose, 0.8)])
        self._centre = (np.array([SIZE / 2, _EYE_LINE]) + shift) * _SCALE

    def fill(self, points: Points, colour: Colour, alpha: float = 1.0) -> None:
        """Fill the polygon `points` (n, 2) with `colour`, blended by `alpha` in 0..1."""
        if alpha < 0.02:
            return
        lowered = points.copy()
        lowered[:, 1] += self._asymmetry * np.clip(points[:, 0] / 12, 0, 1)
        placed = (lowered @ self._matrix + self._centre).ravel().tolist()
        self._draw.polygon(placed, fill=(*colour, int(255 * min(alpha, 1.0))))

    def png(self) -> bytes:
        """Return the image at its final size, as PNG."""
        buffer = io.BytesIO()
        self._image.reduce(_SCALE).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()


def ellipse(x: float, y: float, width: float, height: float) -> Points:
    """Return an ellipse (24, 2) with half-axes `width` and `height`."""
    return _CIRCLE * (width, height) + (x, y)


def outline(controls: Sequence[tuple[float, float]]) -> Points:
    """Return a smooth closed curve (n, 2) through the control points."""
    curve: Points = _catmull_rom(len(controls), True) @ np.array(controls)
    return curve


def ribbon(controls: Sequence[tuple[float, float]], thickness: float, ends: float = 1.0) -> Points:
    """Return a smooth band (n, 2) along the control points; `ends`: their relative thickness."""
    line = _catmull_rom(len(controls), False) @ np.array(controls)
    normal = np.gradient(line, axis=0)[:, ::-1] * (-1, 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    along = np.linspace(-1, 1, len(line))[:, None] ** 2
    half = normal * (thickness / 2 * (1 - (1 - ends) * along))
    return np.concatenate([line + half, (line - half)[::-1]])


def mix(base: Colour, other: Colour, share: float) -> Colour:
    """Blend a `share` of `other`, 0 to 1, into `base`."""
    a, b, c = (round(u + (v - u) * share) for u, v in zip(base, other, strict=True))
    return a, b, c


def _bounded(rng: np.random.Generator, deviation: float) -> float:
    return deviation * max(-2.5, min(2.5, rng.standard_normal()))


@lru_cache(maxsize=32)
def _catmull_rom(count: int, closed: bool, steps: int = 5) -> Points:
    """Return weights (n, count) of a Catmull-Rom curve through `count` control points."""
    rows = []
    for segment in range(count if closed else count - 1):
        for t in np.linspace(0, 1, steps, endpoint=False):
            row = np.zeros(count)
            weights = (
                (-t + 2 * t**2 - t**3) / 2,
                (2 - 5 * t**2 + 3 * t**3) / 2,
                (t + 4 * t**2 - 3 * t**3) / 2,
                (t**3 - t**2) / 2,
            )
            for offset, weight in enumerate(weights, start=-1):
                at = segment + offset
                row[at % count if closed else min(max(at, 0), count - 1)] += weight
            rows.append(row)
    if not closed:
        rows.append(np.eye(count)[-1])
    return np.array(rows)
