"""Tasks of a student: diseases or genes of a patient, own answers, and the tissue of an image."""

from dataclasses import dataclass
from typing import Literal

from mint_ray.images.decode import open_tile


@dataclass(frozen=True)
class Task:
    """A task of a student.

    Attributes:
        name: value of the setting `task`.
        input_modality: whether the student reads the note or the image of a case.
        system: system message of the prompt.
        header: first line of an answer.
        items: what a list holds, as it is asked for.
        item: what one line of it holds.
        note_title: line above the note.
    """

    name: str
    input_modality: Literal["note", "image"]
    system: str
    header: str
    items: str
    item: str
    note_title: str = "Clinical note:"

    def why_unusable(self, student_input: object) -> str | None:
        """Return why the student cannot read this input, as a reason of `open_tile`, or None.

        Args:
            student_input: a note, which is always usable, or an encoded image.
        """
        opened = open_tile(student_input) if self.input_modality == "image" else None
        return opened if isinstance(opened, str) else None


DISEASE = Task(
    "disease",
    "note",
    "You are a genetic counsellor. You name the rare diseases that best explain a patient's "
    "findings.",
    "POTENTIAL_DISEASES:",
    "possible rare diseases",
    "Disease",
)


GENE = Task(
    "gene",
    "note",
    "You are a geneticist. You name the genes whose variants best explain a patient's findings.",
    "POTENTIAL_GENES:",
    "possible causative genes, by their HGNC symbols",
    "SYMBOL",
)


OWN = Task(
    "own",
    "note",
    "You read a text and name the answers that explain it best.",
    "POSSIBLE_ANSWERS:",
    "possible answers",
    "Answer",
    "Text:",
)


TISSUE = Task(
    "tissue",
    "image",
    "You are a pathologist. You name the tissue that the nuclei in an image come from.",
    "MOST_LIKELY_TISSUE:",
    "tissues",
    "Tissue",
)


TASKS = {task.name: task for task in (DISEASE, GENE, OWN, TISSUE)}


MOST_LABELS = 64
"""Largest catalogue that is ranked whole, so that the probability of every label is known."""
