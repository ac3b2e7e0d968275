"""Frozen image and text encoders of the tissue teachers, one interface for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from mint_ray.common.arrays import Floats32

EMBEDDED = "embedded"


AT_ONCE = 16
"""Images or texts per forward pass."""


@dataclass(frozen=True)
class Projections:
    """What a checkpoint already knows of images and texts together."""

    image: Tensor
    """(width, image_width) projection."""
    text: Tensor
    """(width, text_width) projection."""
    scale: float
    """Factor of the cosine similarities in the softmax."""


class Encoders(Protocol):
    """Frozen towers. `facts` is what must be the same where a fitted teacher is loaded."""

    @property
    def facts(self) -> dict[str, Any]: ...

    def images(self, images: Sequence[Image.Image]) -> Floats32:
        """RGB images of any size to features (n, image_width)."""

    def texts(self, texts: Sequence[str]) -> Floats32:
        """Texts of any length, their tails cut off, to features (n, text_width)."""

    @property
    def projections(self) -> Projections | None: ...


def in_parts(
    encode: Callable[[Sequence[Any]], Tensor], items: Sequence[Any], at_once: int = AT_ONCE
) -> Floats32:
    """`encode` over parts of the items, without gradients; (n, width) float32."""
    if not len(items):
        raise ValueError("nothing to encode")
    with torch.inference_mode():
        parts = [encode(items[i : i + at_once]).float() for i in range(0, len(items), at_once)]
        return torch.cat(parts).cpu().numpy()
