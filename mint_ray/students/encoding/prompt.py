"""Prompts as a model takes them; torch is not needed to pass one on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class VisionInputs:
    """The images of one prompt, as a processor returned them.

    Attributes:
        inputs: tensors that the model takes beside token ids, for this prompt alone.
        image_positions: positions of the image tokens in the prompt; the loss leaves them out.
        digest: hash of the encoded images.
    """

    inputs: Mapping[str, "Tensor"] = field(repr=False, compare=False)
    image_positions: tuple[int, ...] = field(repr=False)
    digest: str


class Prompt(NamedTuple):
    """Token ids of a prompt up to where the answer starts, whether its note was cut, its images."""

    ids: tuple[int, ...]
    shortened: bool = False
    vision_inputs: VisionInputs | None = None
