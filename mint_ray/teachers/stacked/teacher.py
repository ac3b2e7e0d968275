"""Teacher that stacks training patients, annotations and names, behind a gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.common.probabilities.gate import Gate
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.base import register_teacher, write_manifest
from mint_ray.teachers.faces.findings import FaceFindings
from mint_ray.teachers.faces.reader import FINDINGS
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch, name_families
from mint_ray.teachers.stacked.evidence import SeenLabels
from mint_ray.teachers.stacked.features import Candidates, Query, find_candidates
from mint_ray.teachers.stacked.gate import gate_features, strata_of
from mint_ray.teachers.term_encoder import TermEncoder, no_known_term
from mint_ray.teachers.term_folder import (
    CATALOGUE_FILE,
    open_vocabulary,
    vocabulary_facts,
)
from mint_ray.teachers.term_patients import TermPatients

NAME = "stacked"
ARRAYS_FILE = "stacked.safetensors"
RANKER_FILE = "ranker.txt"
FACES_FILE = "face_reader.safetensors"


@dataclass(frozen=True)
class Temperatures:
    """Temperatures of the softmax within each kind of label."""

    seen: float
    annotated: float
    named: float


class RankingModel:
    """Everything that ranks labels but the gate: training patients, annotations, names, trees.

    Args:
        catalogue: the labels.
        ontology: of the terms.
        patients: training patients.
        labels: (n_patients,) catalogue index of their labels.
        groups: (n_patients,) numbers of their groups.
        knowledge: annotations of the labels.
        ranker: of candidates among the seen labels.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        ontology: Ontology,
        patients: TermPatients,
        labels: Ints,
        groups: Ints,
        knowledge: KnowledgeMatch,
        ranker: lgb.Booster,
    ) -> None:
        self.catalogue, self.ontology = catalogue, ontology
        self.patients, self.labels, self.groups = patients, labels, groups
        self.knowledge, self.ranker = knowledge, ranker
        self.families = name_families(catalogue)
        self.names = NameMatch(catalogue, ontology)
        self.seen = SeenLabels(patients, labels, groups, knowledge.frequency, knowledge.table)
        self.strata = strata_of(len(catalogue), self.seen.seen, knowledge.has_annotations)
        self.exists = np.isin(np.arange(3), self.strata)

    def rank(self, patients: TermPatients) -> "Ranked":
        """Score all labels for n patients, within each kind of label."""
        query = Query.of_patients(patients, self.seen, self.knowledge)
        candidates = find_candidates(
            query, self.seen, self.knowledge.has_annotations, self.families
        )
        ranking = np.zeros(0)
        if len(candidates.rows):  # LightGBM refuses an empty table
            ranking = np.asarray(self.ranker.predict(candidates.features, raw_score=True))
        names = self.names.score(patients)
        scores = np.zeros((len(patients), len(self.catalogue)))
        scores[:, self.strata == 1] = query.match.total[:, self.strata == 1]
        scores[:, self.strata == 2] = names[:, self.strata == 2]
        scores[:, self.seen.seen] = self._seen_scores(query, candidates, ranking)
        features = gate_features(query, candidates, ranking, names, self.strata)
        return Ranked(scores, query.match.total, names, features)

    def _seen_scores(self, query: Query, candidates: Candidates, ranking: Floats) -> Floats:
        """Return (n, n_seen): candidates by the ranker, the others behind them by cosine."""
        last = np.full(len(query.patients), np.inf)
        np.minimum.at(last, candidates.rows, ranking)
        scores: Floats = last[:, None] - (1 - query.evidence.nearest.astype(np.float64))
        scores[candidates.rows, candidates.columns] = ranking
        return scores


@dataclass(frozen=True)
class Ranked:
    """Scores of n patients.

    Attributes:
        scores: (n, n_labels), comparable within a kind of label only.
        match: (n, n_labels) match with annotations.
        names: (n, n_labels) match with names.
        features: (n, n_features) input of the gate.
    """

    scores: Floats
    match: Floats32
    names: Floats32
    features: Floats32


class StackedTeacher:
    """A fitted `stacked` teacher with the interface `Teacher`.

    It reads the face, observed and excluded terms and the sex. A finding that is seen in the face
    counts like an observed term. A row is NaN if its image cannot be read, or if there is neither
    a known observed term nor a finding.
    """

    def __init__(
        self,
        model: RankingModel,
        gate: Gate,
        temperatures: Temperatures,
        faces: FaceFindings,
        revision: str = "unsaved",
    ) -> None:
        self.labels = model.catalogue.ids
        self.revision = revision
        self._model, self._gate, self._temperatures = model, gate, temperatures
        self._faces, self._encoder = faces, TermEncoder(model.ontology)

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        n = len(batch["terms"])
        result = np.full((n, len(self.labels)), np.nan, dtype=np.float32)
        n_terms = len(self._model.ontology.ids)
        batch, faults = self._faces.add_to(batch)
        patients = TermPatients.of_batch(batch, self._encoder, n_terms)
        readable = [not fault for fault in faults]
        usable = patients.with_terms[np.array(readable, dtype=bool)[patients.with_terms]]
        if len(usable):
            ranked = self._model.rank(patients.take(usable))
            result[usable] = self.log_probabilities(ranked)
        return result

    def log_probabilities(self, ranked: Ranked) -> Floats:
        """Return (n, n_labels): p(kind of label) · p(label | kind), as logarithms."""
        model = self._model
        kinds = self._gate.log_probabilities(ranked.features, model.exists)
        result = np.zeros_like(ranked.scores)
        values = vars(self._temperatures).values()
        for kind, temperature in enumerate(values):
            wanted = model.strata == kind
            if wanted.any():
                within = log_softmax(ranked.scores[:, wanted] / temperature, axis=1)
                result[:, wanted] = within + kinds[:, [kind]]
        return result

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return per row why it cannot be judged, or "".

        The reasons are `image_unreadable`, `image_too_large` and `no_known_term`.
        """
        batch, faults = self._faces.add_to(batch)
        unknown = no_known_term(batch["terms"], self._encoder)
        return [fault or reason for fault, reason in zip(faults, unknown, strict=True)]


def save_stacked(
    folder: Path, model: RankingModel, gate: Gate, scale: Temperatures, faces: FaceFindings
) -> None:
    """Write a folder from which `load_teacher` makes the same teacher."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"patients.{name}": value for name, value in model.patients.arrays().items()}
    arrays |= {f"knowledge.{name}": value for name, value in model.knowledge.arrays().items()}
    arrays |= {"labels": model.labels, "groups": model.groups}
    save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / ARRAYS_FILE)
    model.ranker.save_model(folder / RANKER_FILE)
    model.catalogue.write(folder / CATALOGUE_FILE)
    content = {
        **vocabulary_facts(model.ontology),
        "gate": gate.plain(),
        "temperatures": vars(scale),
    }
    files = [ARRAYS_FILE, RANKER_FILE, CATALOGUE_FILE]
    if faces.save(folder / FACES_FILE):
        files.append(FACES_FILE)
    write_manifest(folder, NAME, files, content | {"findings": list(FINDINGS)})


@register_teacher(NAME)
def load_stacked(folder: Path, manifest: Mapping[str, Any]) -> StackedTeacher:
    """Load a teacher that `save_stacked` wrote.

    Raises:
        TeacherError: a file is damaged, or the teacher was fitted with another release of the
            ontology or with other facial findings.
    """
    catalogue, ontology = open_vocabulary(folder, manifest)
    content = manifest["content"]
    if content["findings"] != list(FINDINGS):
        raise TeacherError(
            f"{folder}: expected the facial findings that the teacher was fitted with, found "
            "others; install that release of mint_ray, or fit the teacher again"
        )
    arrays = load_file(folder / ARRAYS_FILE)
    model = RankingModel(
        catalogue,
        ontology,
        TermPatients.of_arrays(_under("patients.", arrays)),
        arrays["labels"],
        arrays["groups"],
        KnowledgeMatch.of_arrays(_under("knowledge.", arrays), ontology),
        lgb.Booster(model_file=folder / RANKER_FILE),
    )
    gate, scale = Gate.of_plain(content["gate"]), Temperatures(**content["temperatures"])
    with_faces = FACES_FILE in manifest["files"]
    faces = FaceFindings.load(folder / FACES_FILE) if with_faces else FaceFindings(None)
    return StackedTeacher(model, gate, scale, faces, f"{NAME}@{manifest['revision']}")


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
