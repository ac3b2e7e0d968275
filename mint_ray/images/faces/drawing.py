"""Parts of the schematic face, drawn back to front."""

from collections.abc import Mapping

import numpy as np

from mint_ray.images.faces.canvas import Canvas, Colour, Points, ellipse, mix, outline, ribbon

_SKIN: tuple[Colour, ...] = ((250, 220, 196), (228, 180, 144), (184, 130, 94), (124, 84, 60))
_HAIR: tuple[Colour, ...] = (
    (38, 28, 24),
    (74, 48, 32),
    (120, 82, 48),
    (178, 138, 84),
    (140, 62, 34),
)
_IRIS: tuple[Colour, ...] = ((84, 54, 34), (60, 42, 30), (86, 112, 72), (80, 116, 150))
_LIP: Colour = (176, 66, 74)
_DARK: Colour = (34, 20, 20)
_LIGHT: Colour = (255, 248, 240)
_WHITE: Colour = (246, 244, 240)
_ACROSS = np.linspace(-1.0, 1.0, 13)
_ARCH = 1.0 - _ACROSS**2


class Face:
    """One face on its canvas; `p` maps every drawing parameter to its value."""

    def __init__(self, p: Mapping[str, float], long_hair: bool, rng: np.random.Generator) -> None:
        self.p = p
        self.long_hair = long_hair
        tone = rng.random() * (len(_SKIN) - 1)
        self.skin = mix(_SKIN[int(tone)], _SKIN[int(tone) + 1], tone % 1)
        self.shade = mix(self.skin, _DARK, 0.62)
        self.light = mix(self.skin, _LIGHT, 0.8)
        self.lip = mix(self.skin, _LIP, 0.75)
        # Dark skin with dark hair and eyes: brows and irises must stand out alike in all faces.
        dark = tone >= 1.5
        self.hair = _HAIR[int(rng.integers(2 if dark else len(_HAIR)))]
        self.iris = _IRIS[int(rng.integers(2 if dark else len(_IRIS)))]
        self.canvas = Canvas(rng, asymmetry=p["asymmetry"])
        self.nose_base = p["nose_length"]
        self.mouth = self.nose_base + p["philtrum_length"] + max(p["upper_lip"], 0.5)
        lowest = self.mouth + max(p["lower_lip"], 0.7) + max(p["mouth_opening"], 0) * 4 + 3.0
        self.chin = max(p["chin_level"], lowest)

    def render(self) -> bytes:
        """Draw every part and encode as PNG."""
        self._head()
        self._relief()
        for side in (-1.0, 1.0):
            self._eye(side)
            self._brow(side)
        self._nose()
        self._philtrum()
        self._lips()
        return self.canvas.png()

    def _head(self) -> None:
        p, fill = self.p, self.canvas.fill
        crown = p["forehead_height"] + 14 + p["skull"]
        temple = p["forehead_width"] + 3 + p["skull"] * 0.8
        if self.long_hair:
            fill(
                _loop((0, -crown - 1), (temple + 2, -14), (temple + 4, 26), (temple, 58)), self.hair
            )
        neck = min(p["jaw_width"] - 4, 19)
        fill(_loop((0, 20), (neck, 22), (neck, 50), (neck + 12, 70)), mix(self.skin, _DARK, 0.2))
        fill(
            _loop((0, -crown), (temple * 0.72, -crown + 6), (temple, -14), (temple - 2, 6)),
            self.hair,
        )
        for side in (-1.0, 1.0):
            self._ear(side)
        fill(self._skin_outline(0.7), self.shade)
        fill(self._skin_outline(0.0), self.skin)

    def _skin_outline(self, rim: float) -> Points:
        p = self.p
        hairline = p["forehead_height"] + rim
        cheeks = 3.0 * max(p["cheeks"], 0)
        jaw = p["jaw_width"] + 0.8 * cheeks + rim
        return _loop(
            (0, -hairline),
            (p["forehead_width"] * 0.7 + rim, -hairline + 2.5),
            (p["forehead_width"] + rim, -9),
            (p["face_width"] + rim, 7),
            (p["face_width"] - 2 + cheeks + rim, 17),
            (jaw, 0.6 * self.chin + 3),
            (max(p["chin_width"], 1.2) + rim, self.chin - 1.5),
            (0, self.chin + rim),
        )

    def _ear(self, side: float) -> None:
        p, fill = self.p, self.canvas.fill
        size, out = max(p["ear_size"], 3.0), p["ear_spread"]
        x = side * (p["face_width"] + out * 0.45)
        y = 6 + p["ear_level"]
        width = out * (0.55 + 0.045 * size) + 0.6
        fill(ellipse(x, y, width + 0.7, size + 0.7), self.shade)
        fill(ellipse(x, y, width, size), self.skin)
        fill(ellipse(x + side * 0.4, y - 0.5, width * 0.55, size * 0.6), self.shade, 0.5)

    def _relief(self) -> None:
        """Draw light and shadow of forehead, cheeks, midface, folds and chin."""
        p, fill = self.p, self.canvas.fill
        dome, top = p["forehead_relief"], -p["forehead_height"]
        for share, height in ((0.7, 7.0), (0.55, 5.5), (0.35, 4.0)):
            fill(ellipse(0, top + 8.5, p["forehead_width"] * share, height), self.light, 0.4 * dome)
        for side in (-1.0, 1.0):
            fill(ellipse(side * 16, -8.0, 11, 2.6), self.shade, 0.35 * dome)
            cheek = side * (p["face_width"] - 9)
            for radius in (9.0, 7.5, 6.0):
                fill(ellipse(cheek, 19, radius, radius), self.light, 0.22 * p["cheeks"])
            fill(ellipse(cheek, 18, 4.5, 4.5), _LIP, 0.25 * p["cheeks"])
            shadow = [(side * 6, 8), (side * 11, 13), (side * 18, 13), (side * 25, 9)]
            for thickness in (9.0, 6.0, 3.0):
                fill(ribbon(shadow, thickness, 0.3), self.shade, 0.28 * p["midface_shadow"])
            fold = [
                (side * (p["nose_width"] + 1.5), self.nose_base - 2),
                (side * (p["mouth_width"] + 3.0), self.mouth - 2),
                (side * (p["mouth_width"] + 4.0), self.mouth + 6),
            ]
            fill(ribbon(fold, 1.8, 0.5), self.shade, 0.9 * p["folds"])
            bag = [(side * (p["eye_spacing"] + d), 6.5 - abs(d) * 0.2) for d in (-6, 0, 6)]
            fill(ribbon(bag, 1.5, 0.4), self.shade, 0.9 * p["folds"])
        below = self.mouth + max(p["lower_lip"], 0.7) + max(p["mouth_opening"], 0) * 4 + 1.6
        fill(ellipse(0, below, 5.5, 1.2), self.shade, 0.35 + 0.5 * max(p["lip_eversion"], 0))

    def _eye(self, side: float) -> None:
        p, fill = self.p, self.canvas.fill
        bulge = max(p["eye_bulge"], 0)
        height = p["eye_opening"] + 0.5 * bulge
        orbit = p["orbit_shadow"]
        for rim in (4.0, 3.0, 2.0):
            hollow = ellipse(0, -1.2, p["eye_length"] + rim, 3.0 + rim)
            fill(self._at_eye(side, hollow), self.shade, 0.3 * orbit)
        fill(
            self._at_eye(side, ellipse(0, 0.4, p["eye_length"] + 1.6, height + 2.6)),
            self.light,
            0.6 * bulge,
        )
        x = _ACROSS * p["eye_length"]
        upper, lower = -height * _ARCH, 0.8 * height * _ARCH
        lid = upper + np.clip(p["lid_droop"], 0, 0.75) * (lower - upper)
        edge = np.concatenate([np.stack([x, upper - 0.9], 1), np.stack([x, lower + 0.5], 1)[::-1]])
        fill(self._at_eye(side, edge), mix(self.skin, _DARK, 0.3))
        opening = np.concatenate([np.stack([x, lid], 1), np.stack([x, lower], 1)[::-1]])
        fill(self._at_eye(side, opening), _WHITE)
        for radius, colour in ((2.9, self.iris), (1.3, _DARK)):
            disc = ellipse(0, -0.2, radius, radius)
            disc[:, 1] = np.clip(
                disc[:, 1], np.interp(disc[:, 0], x, lid), np.interp(disc[:, 0], x, lower)
            )
            fill(self._at_eye(side, disc), colour)
        lash = [(x[0], lid[0]), (x[3], lid[3]), (x[6], lid[6]), (x[9], lid[9]), (x[12], lid[12])]
        fill(self._at_eye(side, ribbon(lash, 1.1, 0.6)), _DARK, 0.9)
        if bulge > 0.3:
            pouch = [(x[1], height * 0.6 + 1.4), (0.0, height + 2.0), (x[11], height * 0.6 + 1.4)]
            fill(self._at_eye(side, ribbon(pouch, 1.2, 0.5)), self.shade, 0.9 * bulge)
        self._fold(side, height)

    def _fold(self, side: float, height: float) -> None:
        """Draw the epicanthal fold: skin over the inner corner, with a dark free edge."""
        amount = self.p["epicanthal_fold"]
        if amount < 0.3:
            return
        inner = -self.p["eye_length"]
        cover = [(inner - 2, -height), (inner + 2.6, -height * 0.7), (inner + 3.0, 1.0)]
        skin = outline([*cover, (inner + 0.5, height + 1.5), (inner - 2, height)])
        self.canvas.fill(self._at_eye(side, skin), self.skin)
        edge = [(inner + 1.0, -height - 0.6), (inner + 3.0, 0.0), (inner + 0.4, height + 1.6)]
        self.canvas.fill(self._at_eye(side, ribbon(edge, 1.2, 0.5)), self.shade, min(amount, 1.0))

    def _at_eye(self, side: float, points: Points) -> Points:
        """Convert eye coordinates (outer corner at positive x) to slanted face coordinates."""
        slope = -np.tan(np.radians(self.p["eye_slant"]))
        y = points[:, 1] + slope * points[:, 0]
        return np.stack([side * (self.p["eye_spacing"] + points[:, 0]), y], axis=1)

    def _brow(self, side: float) -> None:
        p = self.p
        arch = p["brow_arch"]
        low = -9.0 + 0.6 * p["orbit_shadow"] - 0.8 * max(p["eye_bulge"], 0)
        line = [(-7.5, low), (-2.5, low - 0.7 * arch), (3.0, low - arch), (8.0, low + 0.8)]
        centred = [(side * (p["eye_spacing"] + x), y) for x, y in line]
        thickness = 2 * max(p["brow_thickness"], 0.4)
        self.canvas.fill(ribbon(centred, thickness, 0.5), self.hair, p["brow_density"])
        if side > 0:
            inner = p["eye_spacing"] - 6.5
            meeting = [(-inner, low), (0.0, low + 0.8), (inner, low)]
            self.canvas.fill(ribbon(meeting, 2.2), self.hair, 1.1 * p["brow_bridge"] - 0.15)

    def _nose(self) -> None:
        p, fill = self.p, self.canvas.fill
        base, tip, relief = self.nose_base, p["nose_tip"], p["bridge_relief"]
        width = max(p["nose_width"], tip + 1.5)
        for width_of, height in ((4.2, 3.6), (3.2, 2.6), (2.0, 1.6)):
            fill(ellipse(0, 0.8, p["bridge_width"] + width_of, height), self.shade, -0.45 * relief)
        ridge = [(0.0, -6.0), (0.0, 2.0), (0.0, base - 6)]
        fill(ribbon(ridge, 2.8, 0.6), self.light, 0.95 * relief)
        for side in (-1.0, 1.0):
            start = -5.0 if relief > -0.3 else 5.0
            flank = [
                (side * (p["bridge_width"] + 1.0), start),
                (side * p["bridge_width"], max(start + 2, 3.0)),
                (side * (tip + 0.8), base - 5.0),
            ]
            fill(ribbon(flank, 1.3, 0.6), self.shade, 0.6 + 0.3 * max(relief, 0))
            fill(ellipse(side * (width - 2.0), base - 1.8, 2.4, 2.3), self.shade, 0.7)
            fill(ellipse(side * (width - 2.2), base - 2.1, 1.9, 1.9), self.skin)
        fill(ellipse(0, base - 2.4, tip + 0.6, tip * 0.85 + 0.5), self.shade, 0.55)
        fill(ellipse(0, base - 2.8, tip, tip * 0.85), self.skin)
        fill(ellipse(-0.6, base - 3.6, tip * 0.45, tip * 0.35), self.light, 0.7)
        for side in (-1.0, 1.0):
            opening = max(p["nostrils"], 0.4)
            fill(
                ellipse(
                    side * (width * 0.5),
                    base - 0.4 - 0.7 * (opening - 0.8),
                    1.4 + 0.4 * opening,
                    opening,
                ),
                _DARK,
                0.85,
            )

    def _philtrum(self) -> None:
        p = self.p
        top, bottom = self.nose_base + 1.2, self.mouth - max(p["upper_lip"], 0.5) - 0.2
        depth = p["philtrum_depth"]
        if bottom - top < 0.5:
            return
        groove = [(0.0, top), (0.0, (top + bottom) / 2), (0.0, bottom)]
        self.canvas.fill(ribbon(groove, 3.0), self.shade, 1.8 * (depth - 0.75))
        for side in (-1.0, 1.0):
            line = [(side * 1.5, top), (side * 1.7, (top + bottom) / 2), (side * 2.1, bottom)]
            self.canvas.fill(ribbon(line, 1.3), self.shade, 0.95 * depth)

    def _lips(self) -> None:
        p, fill = self.p, self.canvas.fill
        y, half = self.mouth, p["mouth_width"]
        upper, lower = max(p["upper_lip"], 0.5), max(p["lower_lip"], 0.7)
        gap, corner = max(p["mouth_opening"], 0) * 4, y + 0.9 * p["mouth_corners"]
        top = [(-half, corner), (-half * 0.45, y - upper * 0.8), (-1.7, y - upper - 0.5)]
        top += [(0.0, y - upper + 0.2), (1.7, y - upper - 0.5), (half * 0.45, y - upper * 0.8)]
        fill(
            np.array([*top, (half, corner), (half * 0.5, y + 0.3), (-half * 0.5, y + 0.3)]),
            self.lip,
        )
        bottom = [(-half, corner), (0.0, y + gap + lower * 1.1), (half, corner)]
        curve = _bow(bottom, y + gap + lower)
        fill(np.concatenate([curve, _bow(bottom, y)[::-1]]), mix(self.lip, _LIGHT, 0.08))
        rolled = max(p["lip_eversion"], 0)
        fill(
            ellipse(0, y + gap + lower * 0.6, half * 0.45, lower * 0.35),
            _LIGHT,
            0.15 + 0.5 * rolled,
        )
        fill(np.concatenate([_bow(bottom, y + gap), _bow(bottom, y)[::-1]]), _DARK, min(1.0, gap))
        seam = [(-half, corner), (-half * 0.5, y), (0.0, y + 0.2), (half * 0.5, y), (half, corner)]
        fill(ribbon(seam, 0.9), _DARK, 0.75)
        if p["cleft"] > 0.5:
            notch = [(1.6, self.nose_base), (3.4, self.nose_base), (4.0, y + 0.4), (1.0, y + 0.4)]
            fill(np.array(notch), _DARK, 0.9)
            fill(ribbon([(3.6, self.nose_base), (4.6, y)], 1.2), mix(self.lip, _LIP, 0.6))


def _bow(corners: list[tuple[float, float]], depth: float) -> Points:
    """Return an arc from corner to corner of the mouth through `depth` at its middle."""
    (left, level), _, (right, _) = corners
    x = (left + right) / 2 + _ACROSS * (right - left) / 2
    return np.stack([x, level + (depth - level) * _ARCH], axis=1)


def _loop(*right: tuple[float, float]) -> Points:
    """Return a smooth outline, symmetric about x = 0, through `right` (top to bottom)."""
    left = [(-x, y) for x, y in reversed(right) if x > 0]
    return outline([*right, *left])
