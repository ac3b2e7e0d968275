"""Task."""

from dataclasses import dataclass
from typing import Literal

from mint_ray.images.decode import open_tile


@dataclass(frozen=True)
class Task:
    """What a student is asked: its name, what it sees, who it is, and how its answer begins."""

    name: str
    input_modality: Literal["note", "image"]
    system: str
    header: str

    def why_unusable(self, seen: object) -> str | None:
        """Why a student cannot be asked, one of `open_tile`'s reasons; any note will do."""
        opened = open_tile(seen) if self.input_modality == "image" else None
        return opened if isinstance(opened, str) else None


DISEASE = Task(
    "disease",
    "note",
    "You are a genetic counsellor. You name the rare diseases that best explain a patient's "
    "findings.",
    "POTENTIAL_DISEASES:",
)


TISSUE = Task(
    "tissue",
    "image",
    "You are a pathologist. You name the tissue that the nuclei in an image come from.",
    "MOST_LIKELY_TISSUE:",
)


TASKS = {task.name: task for task in (DISEASE, TISSUE)}


MOST_LABELS = 64
"""Catalogues up to this size are ranked whole, so that every answer's probability is known."""
