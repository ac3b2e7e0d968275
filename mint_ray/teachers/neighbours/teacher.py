"""Teacher that ranks diseases by their most similar training patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats32, Ints
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.base import register_teacher, write_manifest
from mint_ray.teachers.neighbours.index import PatientIndex
from mint_ray.teachers.term_encoder import TermEncoder, no_known_term
from mint_ray.teachers.term_folder import (
    CATALOGUE_FILE,
    open_vocabulary,
    vocabulary_facts,
)

NAME = "neighbours"
INDEX_FILE = "patients.safetensors"


@dataclass(frozen=True)
class Scale:
    """Conversion of similarities to probabilities.

    Attributes:
        temperature: of the softmax over the labels that have training patients.
        unseen: probability that the answer is one of the other labels, shared out equally.
    """

    temperature: float
    unseen: float

    def log_probabilities(self, similarity: Floats32, is_seen: Bools) -> Floats32:
        """Return (n, n_labels), whose rows are log-probabilities that sum to one.

        Args:
            similarity: (n, n_seen), in catalogue order.
            is_seen: (n_labels,) whether a label has training patients.
        """
        n_unseen = int((~is_seen).sum())
        unseen = self.unseen if n_unseen else 0.0
        scores = np.full((len(similarity), len(is_seen)), -np.inf)
        scores[:, is_seen] = np.log1p(-unseen) + log_softmax(
            similarity.astype(np.float64) / self.temperature, axis=1
        )
        if n_unseen:
            scores[:, ~is_seen] = np.log(unseen / n_unseen)
        return scores.astype(np.float32)


class NeighboursTeacher:
    """A fitted `neighbours` teacher with the interface `Teacher`.

    It reads observed terms only. A row without any known term is NaN.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        ontology: Ontology,
        index: PatientIndex,
        scale: Scale,
        revision: str = "unsaved",
    ) -> None:
        self.labels = catalogue.ids
        self.revision = revision
        self._encoder = TermEncoder(ontology)
        self._index, self._scale = index, scale
        self._is_seen = np.isin(np.arange(len(catalogue)), index.seen)

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        closures = self._closures(batch)
        if not closures:
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        similarity = self._index.similarity(closures)
        scores = self._scale.log_probabilities(similarity, self._is_seen)
        scores[[len(closure) == 0 for closure in closures]] = np.nan
        return scores

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return per row why it cannot be judged: `no_known_term`, or ""."""
        return no_known_term(batch["terms"], self._encoder)

    def _closures(self, batch: Mapping[str, Sequence[Any]]) -> list[Ints]:
        return [self._encoder.closure(terms or ()) for terms in batch["terms"]]


def save_neighbours(
    folder: Path, catalogue: Catalogue, ontology: Ontology, index: PatientIndex, scale: Scale
) -> None:
    """Write a folder from which `load_teacher` makes the same teacher."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(index.arrays(), folder / INDEX_FILE)
    catalogue.write(folder / CATALOGUE_FILE)
    content = {
        **vocabulary_facts(ontology),
        "temperature": scale.temperature,
        "unseen": scale.unseen,
    }
    write_manifest(folder, NAME, [INDEX_FILE, CATALOGUE_FILE], content)


@register_teacher(NAME)
def load_neighbours(folder: Path, manifest: Mapping[str, Any]) -> NeighboursTeacher:
    """Load a teacher that `save_neighbours` wrote.

    Raises:
        DataError: the folder of its knowledge release is absent, or has changed.
        TeacherError: a file is damaged, or the teacher was fitted with another release of the
            ontology.
    """
    catalogue, ontology = open_vocabulary(folder, manifest)
    content = manifest["content"]
    return NeighboursTeacher(
        catalogue,
        ontology,
        PatientIndex.of_arrays(load_file(folder / INDEX_FILE)),
        Scale(content["temperature"], content["unseen"]),
        f"{NAME}@{manifest['revision']}",
    )
