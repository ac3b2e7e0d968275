"""Teacher that ranks diseases by their annotations and names alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats32
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.base import register_teacher, write_manifest
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch
from mint_ray.teachers.term_encoder import TermEncoder, no_known_term
from mint_ray.teachers.term_folder import (
    CATALOGUE_FILE,
    open_vocabulary,
    vocabulary_facts,
)
from mint_ray.teachers.term_patients import TermPatients

NAME = "knowledge"
ARRAYS_FILE = "annotations.safetensors"


@dataclass(frozen=True)
class Scale:
    """Conversion of matches to probabilities.

    Attributes:
        annotated: temperature over the labels with annotations.
        named: temperature over the other labels, which rank by name.
        unannotated: probability that the answer is one of the other labels.
    """

    annotated: float
    named: float
    unannotated: float

    def log_probabilities(
        self, match: Floats32, names: Floats32, has_annotations: Bools
    ) -> Floats32:
        """Return (n, n_labels) log-probabilities.

        Args:
            match: (n, n_labels) with annotations.
            names: (n, n_labels) with names.
            has_annotations: (n_labels,).
        """
        result = np.zeros(match.shape, dtype=np.float32)
        unannotated = 0.0 if has_annotations.all() else self.unannotated
        kinds = (
            (has_annotations, match, self.annotated, 1 - unannotated),
            (~has_annotations, names, self.named, unannotated),
        )
        for wanted, scores, temperature, share in kinds:
            if wanted.any():
                among = scores[:, wanted].astype(np.float64) / temperature
                result[:, wanted] = log_softmax(among, axis=1) + np.log(share)
        return result


class KnowledgeTeacher:
    """A `knowledge` teacher with the interface `Teacher`.

    It reads observed terms only. A row without any known term is NaN.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        ontology: Ontology,
        match: KnowledgeMatch,
        scale: Scale,
        revision: str = "unsaved",
    ) -> None:
        self.labels = catalogue.ids
        self.revision = revision
        self._encoder, self._n_terms = TermEncoder(ontology), len(ontology.ids)
        self._match, self._scale = match, scale
        self._names = NameMatch(catalogue, ontology)

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        patients = TermPatients.of_batch(batch, self._encoder, self._n_terms)
        result = np.full((len(patients), len(self.labels)), np.nan, dtype=np.float32)
        usable = patients.with_terms
        if len(usable):
            asked = patients.take(usable)
            match, names = self._match.parts(asked).total, self._names.score(asked)
            result[usable] = self._scale.log_probabilities(
                match, names, self._match.has_annotations
            )
        return result

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return per row why it cannot be judged: `no_known_term`, or ""."""
        return no_known_term(batch["terms"], self._encoder)


def save_knowledge(
    folder: Path, catalogue: Catalogue, ontology: Ontology, match: KnowledgeMatch, scale: Scale
) -> None:
    """Write a folder from which `load_teacher` makes the same teacher."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(match.arrays(), folder / ARRAYS_FILE)
    catalogue.write(folder / CATALOGUE_FILE)
    content = vocabulary_facts(ontology) | {"scale": asdict(scale)}
    write_manifest(folder, NAME, [ARRAYS_FILE, CATALOGUE_FILE], content)


@register_teacher(NAME)
def load_knowledge(folder: Path, manifest: Mapping[str, Any]) -> KnowledgeTeacher:
    """Load a teacher that `save_knowledge` wrote.

    Raises:
        TeacherError: a file is damaged, or the teacher was fitted with another release of the
            ontology.
    """
    catalogue, ontology = open_vocabulary(folder, manifest)
    content = manifest["content"]
    return KnowledgeTeacher(
        catalogue,
        ontology,
        KnowledgeMatch.of_arrays(load_file(folder / ARRAYS_FILE), ontology),
        Scale(**content["scale"]),
        f"{NAME}@{manifest['revision']}",
    )
