"""Interface of the frozen image and text encoders of the tissue teachers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from mint_ray.common.arrays import Floats32

EMBEDDED = "embedded"
"""Value of `teacher.clip.checkpoint` for the encoders that install as packages."""


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
