"""Interface of the frozen image and text encoders of the tissue teachers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from mint_ray.common.arrays import Floats32

EMBEDDED = "embedded"
"""Value of `teacher.clip.checkpoint` for the encoders that install as packages."""


AT_ONCE = 16
"""Images or texts per forward pass."""


@dataclass(frozen=True)
class Projections:
    """Projections of a checkpoint into its joint space of images and texts."""

    image: Tensor
    """(width, image_width) projection."""
    text: Tensor
    """(width, text_width) projection."""
    scale: float
    """Factor of the cosine similarities in the softmax."""


class Encoders(Protocol):
    """Frozen towers for images and texts.

    Attributes:
        facts: must be the same where a fitted teacher is loaded again; plain JSON.
        projections: into a joint space; None where the towers were not trained together.
    """

    @property
    def facts(self) -> dict[str, Any]: ...

    def images(self, images: Sequence[Image.Image]) -> Floats32:
        """Return features (n, image_width) of RGB images of any size."""

    def texts(self, texts: Sequence[str]) -> Floats32:
        """Return features (n, text_width) of texts; the tail of a long text is cut off."""

    @property
    def projections(self) -> Projections | None: ...


def in_parts(
    encode: Callable[[Sequence[Any]], Tensor], items: Sequence[Any], at_once: int = AT_ONCE
) -> Floats32:
    """Encode the items part by part, without gradients.

    Args:
        encode: returns (m, width) features of up to `at_once` items.
        items: images or texts, at least one.
        at_once: items per forward pass.

    Returns:
        (n, width).

    Raises:
        ValueError: there is no item.
    """
    if not len(items):
        raise ValueError("expected at least one item to encode, found none")
    with torch.inference_mode():
        parts = [encode(items[i : i + at_once]).float() for i in range(0, len(items), at_once)]
        return torch.cat(parts).cpu().numpy()
