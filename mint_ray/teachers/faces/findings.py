"""Findings that a fitted reader sees in photographs, as HPO terms."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from mint_ray.common.devices import pick_device
from mint_ray.teachers.faces.pixels import decode_images
from mint_ray.teachers.faces.reader import FINDINGS, FaceReader, read_faces

LEAST_PROBABILITY = 0.5
"""Probability from which a finding counts as seen."""


class FaceFindings:
    """Reader of faces that adds what it sees to the observed terms of a batch.

    Args:
        reader: fitted; None if the training cases had no faces. Then no image is looked at.
    """

    def __init__(self, reader: FaceReader | None) -> None:
        self._reader = None if reader is None else reader.eval().to(pick_device())

    def add_to(
        self, batch: Mapping[str, Sequence[Any]]
    ) -> tuple[Mapping[str, Sequence[Any]], list[str]]:
        """Return a batch whose column `terms` has the findings of the column `image` too.

        Returns:
            The batch, and per row why its image cannot be read, "" where it can or there is none.
        """
        if self._reader is None:
            return batch, [""] * len(batch["terms"])
        pixels, rows, faults = decode_images(batch["image"])
        probabilities = read_faces(self._reader, pixels)[0].numpy()
        terms = [list(observed or ()) for observed in batch["terms"]]
        for row, read in zip(rows.tolist(), probabilities, strict=True):
            terms[row] += _seen(read, terms[row])
        return {**batch, "terms": terms}, faults

    def save(self, file: Path) -> bool:
        """Write the reader to a file, and return whether there is one."""
        if self._reader is None:
            return False
        state = self._reader.state_dict()
        save_file({name: value.contiguous().cpu() for name, value in state.items()}, file)
        return True

    @classmethod
    def load(cls, file: Path) -> "FaceFindings":
        """Read what `save` wrote."""
        reader = FaceReader(len(FINDINGS))
        reader.load_state_dict(load_file(file))
        return cls(reader)


def _seen(read: Iterable[float], known: Sequence[str]) -> list[str]:
    pairs = zip(FINDINGS, read, strict=True)
    return [term for term, chance in pairs if chance >= LEAST_PROBABILITY and term not in known]
