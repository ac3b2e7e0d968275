"""Teacher that looks up the recorded scores of a case: that of `scores` and of `endpoint`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mint_ray.common.arrays import Floats32
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.base import check_files, register_teacher, write_manifest
from mint_ray.teachers.recorded.scale import Scale
from mint_ray.teachers.recorded.table import RecordedScores

SCORES, ENDPOINT = "scores", "endpoint"
SCORES_FILE = "scores.parquet"
CATALOGUE_FILE = "catalogue.parquet"


class RecordedTeacher:
    """A teacher of recorded scores with the interface `Teacher`, which answers for some labels.

    A case is known by its id alone. One without any recorded score is NaN.

    Attributes:
        floor: log-probability of the labels without a score.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        recorded: RecordedScores,
        scale: Scale,
        reason: str,
        revision: str = "unsaved",
    ) -> None:
        self.labels = catalogue.ids
        self.revision = revision
        self.floor = scale.floor
        self._recorded, self._scale, self._reason = recorded, scale, reason

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        scores = np.full((len(batch["case_id"]), len(self.labels)), np.nan, dtype=np.float32)
        for row, case_id in enumerate(batch["case_id"]):
            if case_id in self._recorded:
                scores[row] = self._scale.log_probabilities(*self._recorded.of(case_id))
        return scores

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return per row why it cannot be judged: no score was recorded, or ""."""
        return ["" if case_id in self._recorded else self._reason for case_id in batch["case_id"]]


def save_recorded(
    folder: Path,
    name: str,
    catalogue: Catalogue,
    recorded: RecordedScores,
    scale: Scale,
    reason: str,
    facts: Mapping[str, Any],
) -> None:
    """Write a folder from which `load_teacher` makes the same teacher.

    Args:
        folder: is made where it is missing.
        name: `scores` or `endpoint`.
        catalogue: the labels.
        recorded: scores by case.
        scale: of the probabilities.
        reason: why a case without scores cannot be judged, as a short name.
        facts: where the scores come from; plain JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recorded.write(folder / SCORES_FILE)
    catalogue.write(folder / CATALOGUE_FILE)
    content = {"scale": scale.facts(), "reason": reason, "facts": dict(facts)}
    write_manifest(folder, name, [SCORES_FILE, CATALOGUE_FILE], content)


@register_teacher(SCORES)
@register_teacher(ENDPOINT)
def load_recorded(folder: Path, manifest: Mapping[str, Any]) -> RecordedTeacher:
    """Load a teacher that `save_recorded` wrote.

    Raises:
        TeacherError: a file is damaged.
    """
    check_files(folder, manifest)
    content = manifest["content"]
    return RecordedTeacher(
        Catalogue.read(folder / CATALOGUE_FILE),
        RecordedScores.read(folder / SCORES_FILE),
        Scale(**content["scale"]),
        content["reason"],
        f"{manifest['name']}@{manifest['revision']}",
    )
