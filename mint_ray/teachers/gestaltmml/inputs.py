"""Inputs of ViLT: tokens of a patient's words, and pixels of the face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mint_ray.cases.patients.note_phrases import describe_person
from mint_ray.images.decode import open_rgb
from mint_ray.knowledge.ontology import Ontology


@dataclass(frozen=True)
class Inputs:
    """A batch of n patients."""

    tokens: Tensor
    """(n, text) int64."""
    is_token: Tensor
    """(n, text) 1 where there is a token, 0 where there is padding."""
    pixels: Tensor
    """(n, 3, side, side) uint8; 0 without an image."""
    has_image: Tensor
    """(n,) bool."""

    def to(self, device: torch.device) -> "Inputs":
        """Return the inputs on a device."""
        return Inputs(*(tensor.to(device) for tensor in vars(self).values()))


class InputMaker:
    """Maker of inputs.

    Args:
        tokenizer: of the checkpoint.
        ontology: of the terms.
        parts: `demographics`, `terms` and `note`, in the order in which they are written.
        most_tokens: longest text.
        side: height and width of the image, in pixels.
    """

    def __init__(
        self,
        tokenizer: Any,
        ontology: Ontology,
        parts: Sequence[str],
        most_tokens: int,
        side: int,
    ) -> None:
        self._tokenizer, self._ontology = tokenizer, ontology
        self._parts, self._most_tokens, self.side = parts, most_tokens, side

    def words(self, batch: Mapping[str, Sequence[Any]], row: int) -> str:
        """Return the text of a case; empty if it has neither a known term nor a note to show."""
        known = [t for t in batch["terms"][row] or () if t in self._ontology.index]
        written = {
            "demographics": describe_person(batch["sex"][row], batch["age"][row]).noun,
            "terms": ", ".join(self._ontology.name(term) for term in known),
            "note": (batch["note"][row] or "").strip(),
        }
        if not any(written[part] for part in self._parts if part != "demographics"):
            return ""
        return ". ".join(written[part] for part in self._parts if written[part])

    def open(self, encoded: object) -> Image.Image | str | None:
        """Return the middle square of an image, a reason if it cannot be read, None without one."""
        if not isinstance(encoded, bytes):
            return None
        image = open_rgb(encoded, draft_side=4 * self.side)
        if isinstance(image, str):
            return image
        return ImageOps.fit(image, (self.side, self.side), Image.Resampling.BICUBIC)

    def make(self, texts: Sequence[str], images: Sequence[Image.Image | None]) -> Inputs:
        """Return the inputs of n patients, n at least 1.

        Args:
            texts: "" for none.
            images: squares of `open`, None for none.
        """
        encoded = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._most_tokens,
            return_tensors="np",
        )
        pixels = np.zeros((len(images), self.side, self.side, 3), dtype=np.uint8)
        for row, image in enumerate(images):
            if image is not None:
                pixels[row] = np.asarray(image)
        return Inputs(
            torch.from_numpy(encoded["input_ids"].astype(np.int64)),
            torch.from_numpy(encoded["attention_mask"].astype(np.int64)),
            torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))),
            torch.tensor([image is not None for image in images]),
        )
