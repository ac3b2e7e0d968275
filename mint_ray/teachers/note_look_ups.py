"""Look-ups on notes: teachers that need no training, given the findings of a note alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.note_findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import check_labels, load_teacher


class NoteLookUps:
    """Fitted teachers of terms that judge patients by what is read in their notes.

    Args:
        folders: of the fitted teachers, by name.
        catalogue: whose labels the teachers score.

    Raises:
        TeacherError: a folder holds no such teacher, or its labels are others.
    """

    def __init__(self, folders: Mapping[str, Path], catalogue: Catalogue) -> None:
        self._reader = load_reader(load_ontology(catalogue.release))
        self._teachers = {name: load_teacher(folder) for name, folder in folders.items()}
        for teacher in self._teachers.values():
            check_labels(teacher, catalogue.ids)

    def score(self, notes: Sequence[str]) -> tuple[dict[str, Floats32], Ints]:
        """Score all labels by the findings of n notes.

        Returns:
            By name of the look-up, (n, n_labels) log-probabilities, NaN in the rows of notes
            without findings; and (n,) findings that each note states as present.
        """
        findings = [present_and_excluded(self._reader.read(note)) for note in notes]
        batch: dict[str, Sequence[Any]] = {
            "case_id": [""] * len(notes),
            "terms": [present for present, _ in findings],
            "excluded_terms": [excluded for _, excluded in findings],
            "sex": [None] * len(notes),
        }
        scores = {name: teacher.score(batch) for name, teacher in self._teachers.items()}
        return scores, np.array([len(present) for present, _ in findings], dtype=np.int64)
