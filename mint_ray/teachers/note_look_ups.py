"""Look-ups on notes: teachers that need no training, given the findings of a note alone.

Where a folder holds look-ups, each lies in `look_ups/<name>/`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mint_ray.common.arrays import Floats32
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.notes.findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import MANIFEST_FILE, check_labels, load_teacher
from mint_ray.teachers.fit_cases import fit_folder
from mint_ray.teachers.registry import find_fitter

FOLDER = "look_ups"

Findings = tuple[Sequence[str], Sequence[str]]
"""HPO ids of a patient's findings: those that are present, and those that are excluded."""


def fit_look_up(
    name: str,
    config: Config,
    cases: Path,
    folder: Path,
    left_out: frozenset[str] = frozenset(),
) -> Path:
    """Return the folder of a look-up that is fitted to a run's cases, if it is not yet.

    Args:
        name: of a teacher, in `evaluation.systems.LOOK_UPS`.
        config: of the run; its settings of the teacher are left out. No reports are read.
        cases: folder of the finished step `cases`.
        folder: folder of look-ups, `FOLDER`.
        left_out: ids of groups that the look-up shall not read.
    """
    fitted = folder / name
    if not (fitted / MANIFEST_FILE).exists():
        tree = config.model_dump(mode="json")
        plain = Config.model_validate(tree | {"teacher": {"name": name, "reports": False}})
        with fit_folder(cases, fitted / "fit_cases", left_out) as fit_cases:
            find_fitter(plain).load()(fit_cases, plain, fitted, lambda report: None)
    return fitted


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

    def read(self, notes: Sequence[str]) -> list[Findings]:
        """Read the findings of notes."""
        return [present_and_excluded(self._reader.read(note)) for note in notes]

    def score(self, findings: Sequence[Findings]) -> dict[str, Floats32]:
        """Score all labels by the findings of n patients.

        Returns:
            By name of the look-up, (n, n_labels) log-probabilities, NaN in the rows of patients
            without findings.
        """
        batch: dict[str, Sequence[Any]] = {
            "case_id": [""] * len(findings),
            "terms": [present for present, _ in findings],
            "excluded_terms": [excluded for _, excluded in findings],
            "sex": [None] * len(findings),
            "image": [None] * len(findings),
            "description": [""] * len(findings),
        }
        return {name: teacher.score(batch) for name, teacher in self._teachers.items()}
