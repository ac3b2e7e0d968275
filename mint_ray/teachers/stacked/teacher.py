"""Teacher that stacks training patients, annotations and names, behind a gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.common.probabilities.gate import Gate
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.notes.findings import load_reader
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.base import register_teacher, write_manifest
from mint_ray.teachers.faces.findings import FaceFindings
from mint_ray.teachers.faces.reader import FINDINGS
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch, name_families
from mint_ray.teachers.report_findings import ReportFindings
from mint_ray.teachers.stacked.evidence import SeenLabels
from mint_ray.teachers.stacked.features import Candidates, Query, find_candidates
from mint_ray.teachers.stacked.gate import gate_features
from mint_ray.teachers.stacked.rankers import Rankers
from mint_ray.teachers.stacked.strata import labels_of, strata_of
from mint_ray.teachers.stacked.unseen import LabelFamilies, UnseenEvidence
from mint_ray.teachers.term_encoder import TermEncoder, no_known_term
from mint_ray.teachers.term_folder import (
    CATALOGUE_FILE,
    open_vocabulary,
    vocabulary_facts,
)
from mint_ray.teachers.term_patients import TermPatients

NAME = "stacked"
ARRAYS_FILE = "stacked.safetensors"
FACES_FILE = "face_reader.safetensors"
REPORTS = "reports"
"""Name in the manifest's content of a teacher that reads laboratory reports."""
FORMAT = 2
"""Version of the features that the trees and the gate of a folder expect."""


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
        rankers: of candidates of each kind.
        duals: see `SeenLabels`.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        ontology: Ontology,
        patients: TermPatients,
        labels: Ints,
        groups: Ints,
        knowledge: KnowledgeMatch,
        rankers: Rankers,
        duals: Floats | None = None,
    ) -> None:
        self.catalogue, self.ontology = catalogue, ontology
        self.patients, self.labels, self.groups = patients, labels, groups
        self.knowledge, self.rankers = knowledge, rankers
        self.families = name_families(catalogue)
        self.names = NameMatch(catalogue, ontology)
        self.seen = SeenLabels(
            patients, labels, groups, knowledge.frequency, knowledge.table, duals
        )
        self.siblings = LabelFamilies(self.families)
        self.strata = strata_of(len(catalogue), self.seen.seen, knowledge.has_annotations)
        self.exists = np.isin(np.arange(3), self.strata)

    def rank(self, patients: TermPatients) -> "Ranked":
        """Score all labels for n patients, within each kind of label."""
        query = Query.of_patients(patients, self.seen, self.knowledge)
        candidates = find_candidates(
            query, self.seen, self.knowledge.has_annotations, self.families
        )
        ranking, names = self.rankers.score(0, candidates), self.names.score(patients)
        scores = np.zeros((len(patients), len(self.catalogue)))
        scores[:, self.seen.seen] = _whole(candidates, ranking, query.evidence.nearest)
        evidence = UnseenEvidence(query, self.seen.seen, names, self.siblings, self.knowledge)
        for kind, annotated in ((1, True), (2, False)):
            labels, base = labels_of(self.strata, kind), evidence.base(annotated)
            if len(labels):
                found = evidence.find(labels, annotated)
                ranked = self.rankers.score(kind, found, base)
                placed = Candidates(
                    found.rows, np.searchsorted(labels, found.columns), found.features
                )
                scores[:, labels] = _whole(placed, ranked, base[:, labels])
        features = gate_features(query, candidates, ranking, names, self.strata)
        return Ranked(scores, features)


def _whole(found: Candidates, ranking: Floats, base: Floats32) -> Floats:
    """Return (n, k) scores of all labels of a kind: candidates first, the others by their base.

    Args:
        found: candidates of n patients, whose columns are those of `base`.
        ranking: (m,) scores of the candidates.
        base: (n, k) plain score of the labels.
    """
    last = np.full(len(base), np.inf)
    np.minimum.at(last, found.rows, ranking)
    behind = base.max(axis=1, keepdims=True) - base.astype(np.float64)
    scores: Floats = last[:, None] - behind
    scores[found.rows, found.columns] = ranking
    return scores


@dataclass(frozen=True)
class Ranked:
    """Scores of n patients.

    Attributes:
        scores: (n, n_labels), comparable within a kind of label only.
        features: (n, n_features) input of the gate.
    """

    scores: Floats
    features: Floats32


class StackedTeacher:
    """A fitted `stacked` teacher with the interface `Teacher`.

    It reads the face, the laboratory report, observed and excluded terms and the sex. A finding
    that is seen in the face or read in the report counts like a term. A row is NaN if its image
    cannot be read, or if there is neither a known observed term nor an observed finding.
    """

    def __init__(
        self,
        model: RankingModel,
        gate: Gate,
        temperatures: Temperatures,
        faces: FaceFindings,
        reports: ReportFindings,
        revision: str = "unsaved",
    ) -> None:
        self.labels = model.catalogue.ids
        self.revision = revision
        self._model, self._gate, self._temperatures = model, gate, temperatures
        self._faces, self._reports = faces, reports
        self._encoder = TermEncoder(model.ontology)

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        n = len(batch["terms"])
        result = np.full((n, len(self.labels)), np.nan, dtype=np.float32)
        n_terms = len(self._model.ontology.ids)
        batch, faults = self._read(batch)
        patients = TermPatients.of_batch(batch, self._encoder, n_terms)
        readable = [not fault for fault in faults]
        usable = patients.with_terms[np.array(readable, dtype=bool)[patients.with_terms]]
        if len(usable):
            ranked = self._model.rank(patients.take(usable))
            result[usable] = self.log_probabilities(ranked)
        return result

    def _read(
        self, batch: Mapping[str, Sequence[Any]]
    ) -> tuple[Mapping[str, Sequence[Any]], list[str]]:
        """Add the findings of faces and reports; see `FaceFindings.add_to`."""
        batch, faults = self._faces.add_to(batch)
        return self._reports.add_to(batch), faults

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
        batch, faults = self._read(batch)
        unknown = no_known_term(batch["terms"], self._encoder)
        return [fault or reason for fault, reason in zip(faults, unknown, strict=True)]


def save_stacked(
    folder: Path,
    model: RankingModel,
    gate: Gate,
    scale: Temperatures,
    faces: FaceFindings,
    reports: ReportFindings,
) -> None:
    """Write a folder from which `load_teacher` makes the same teacher."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"patients.{name}": value for name, value in model.patients.arrays().items()}
    arrays |= {f"knowledge.{name}": value for name, value in model.knowledge.arrays().items()}
    arrays |= {"labels": model.labels, "groups": model.groups, "duals": model.seen.ridge.duals}
    save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / ARRAYS_FILE)
    rankers = model.rankers.save(folder)
    model.catalogue.write(folder / CATALOGUE_FILE)
    content = {
        **vocabulary_facts(model.ontology),
        "format": FORMAT,
        "gate": gate.plain(),
        "temperatures": vars(scale),
    }
    if reports.reads:  # else the content, and so the revision, is as before there were reports
        content[REPORTS] = True
    files = [ARRAYS_FILE, *rankers, CATALOGUE_FILE]
    if faces.save(folder / FACES_FILE):
        files.append(FACES_FILE)
    write_manifest(folder, NAME, files, content | {"findings": list(FINDINGS)})


@register_teacher(NAME)
def load_stacked(folder: Path, manifest: Mapping[str, Any]) -> StackedTeacher:
    """Load a teacher that `save_stacked` wrote.

    Raises:
        TeacherError: a file is damaged, or the teacher was fitted by another release, with another
            release of the ontology or with other facial findings.
    """
    catalogue, ontology = open_vocabulary(folder, manifest)
    content = manifest["content"]
    if content.get("format") != FORMAT:
        raise TeacherError(
            f"{folder}: expected a teacher `{NAME}` of format {FORMAT}, found "
            f"{content.get('format', 1)}, which another release of mint_ray has fitted; fit it "
            "again (run the stage with --force)"
        )
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
        Rankers.load(folder, manifest["files"]),
        arrays["duals"],
    )
    gate, scale = Gate.of_plain(content["gate"]), Temperatures(**content["temperatures"])
    with_faces = FACES_FILE in manifest["files"]
    faces = FaceFindings.load(folder / FACES_FILE) if with_faces else FaceFindings(None)
    reports = ReportFindings(load_reader(ontology) if content.get(REPORTS) else None)
    return StackedTeacher(model, gate, scale, faces, reports, f"{NAME}@{manifest['revision']}")


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
