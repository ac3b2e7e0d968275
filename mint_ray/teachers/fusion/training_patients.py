"""Training patients of the fusion teacher: real ones, and simulated ones of every label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mint_ray.cases.patients.record_counts import RecordCounts
from mint_ray.cases.patients.renderings import broader_term
from mint_ray.cases.patients.simulate import PatientSimulator
from mint_ray.config.cases import SimulationConfig
from mint_ray.images.faces.render import rendered_terms
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.faces.fit_reader import ReadingNoise, finding_row
from mint_ray.teachers.faces.reader import FACE_WIDTH
from mint_ray.teachers.fusion.label_profiles import Profile, ProfileMatch
from mint_ray.teachers.fusion.term_features import Features, pack, sex_index
from mint_ray.teachers.term_encoder import TermEncoder

SIMULATION = SimulationConfig(max_terms=20)
MOST_LEFT_OUT = 0.6  # share of a real patient's observed terms that augmentation may leave out


@dataclass(frozen=True)
class Patient:
    """One training patient. `findings` (n_findings,) and `face` are None without a face."""

    label: int
    weight: float
    observed: tuple[str, ...]
    excluded: tuple[str, ...]
    sex: str
    findings: NDArray[np.float32] | None = None
    face: NDArray[np.float32] | None = None


def real_patients(
    rows: Sequence[Mapping[str, Any]],
    catalogue: Catalogue,
    read: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> list[Patient]:
    """Return the cases whose label is in the catalogue as patients.

    A patient weighs 1 / √n, where n patients share group and label: one large family or series
    must not outweigh many small ones. The mean weight is 1.

    Args:
        rows: case rows.
        catalogue: the labels.
        read: case id to the probabilities (n_findings,) and features (FACE_WIDTH,) that the face
            reader gives of its face.
    """
    labels = [catalogue.index_of(row["label_id"] or "") for row in rows]
    sizes = Counter((row["group_id"], label) for row, label in zip(rows, labels, strict=True))
    patients = [
        Patient(
            label,
            sizes[row["group_id"], label] ** -0.5,
            tuple(row["terms"]),
            tuple(row["excluded_terms"]),
            row["sex"],
            *read.get(row["case_id"], (None, None)),
        )
        for row, label in zip(rows, labels, strict=True)
        if label is not None
    ]
    mean = sum(patient.weight for patient in patients) / max(1, len(patients))
    return [Patient(**{**vars(p), "weight": p.weight / mean}) for p in patients]


class SimulatedPatients:
    """Simulated patients of every annotated label, with the reader's findings of their faces.

    Args:
        profiles: findings of each label.
        ontology: of the terms.
        noise: of the reader; with None the patients have no face.
        keep_in_terms: whether facial findings stay among the terms as well.
        counts: numbers of findings of published patients; None where there are too few.

    Attributes:
        labels: catalogue indices of the labels that have annotations.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        ontology: Ontology,
        noise: ReadingNoise | None,
        keep_in_terms: bool,
        counts: RecordCounts | None = None,
    ) -> None:
        self._simulator = PatientSimulator(profiles, ontology, SIMULATION, counts)
        self._ontology, self._noise, self._keep = ontology, noise, keep_in_terms
        self.labels = np.flatnonzero(self._simulator.usable).tolist()

    def draw(self, per_label: int, rng: np.random.Generator) -> list[Patient]:
        """Draw `per_label` patients of each label that has annotations."""
        drawn = []
        for label in self.labels * per_label:
            drawn.append((label, *self._simulator.draw_patient(label, rng)))
        if self._noise is None or not drawn:
            return [Patient(y, 1.0, tuple(o), tuple(e), sex) for y, o, e, sex in drawn]
        shown = [rendered_terms(observed, self._ontology) for _, observed, _, _ in drawn]
        truth = np.stack([finding_row(terms, self._ontology) for terms in shown])
        read = self._noise.read(truth, rng)
        return [
            Patient(y, 1.0, tuple(o if self._keep else set(o) - set(s)), tuple(e), sex, read[i])
            for i, ((y, o, e, sex), s) in enumerate(zip(drawn, shown, strict=True))
        ]


def vary(
    patient: Patient, ontology: Ontology, modality_dropout: float, rng: np.random.Generator
) -> Patient:
    """Return a real patient as another examiner might have recorded it.

    Some terms are left out, a tenth of the observed ones are replaced with a broader term, and a
    modality may be lost; see `drop_modality`.
    """
    observed = np.array(patient.observed, dtype=object)
    kept = observed[rng.random(len(observed)) >= rng.uniform(0, MOST_LEFT_OUT)]
    if not len(kept) and len(observed):
        kept = observed[[int(rng.integers(len(observed)))]]
    observed = np.array([broader_term(t, ontology, rng) if rng.random() < 0.1 else t for t in kept])
    excluded = np.array(patient.excluded, dtype=object)
    excluded = excluded[rng.random(len(excluded)) >= rng.uniform(0, 1.4)]
    varied = {**vars(patient), "observed": tuple(observed), "excluded": tuple(excluded)}
    return drop_modality(Patient(**varied), modality_dropout, rng)


def drop_modality(patient: Patient, probability: float, rng: np.random.Generator) -> Patient:
    """Drop the face with `probability`, or else the observed terms with `probability`.

    A patient without a face is returned unchanged. The terms are dropped only where the face
    shows a finding, so that something is left to judge by.
    """
    if patient.findings is None:
        return patient
    draw = rng.random()
    if draw < probability and patient.observed:
        return Patient(**{**vars(patient), "findings": None, "face": None})
    if draw < 2 * probability and patient.findings.max(initial=0) > 0.5:
        return Patient(**{**vars(patient), "observed": (), "excluded": ()})
    return patient


def features_of(
    patients: Sequence[Patient],
    encoder: TermEncoder,
    term_weights: NDArray[np.float32],
    match: ProfileMatch,
    n_findings: int,
) -> Features:
    """Return a batch for the fusion network.

    Args:
        patients: at least one.
        encoder: of the terms.
        term_weights: (n_terms,) of observed terms.
        match: to the labels' profiles.
        n_findings: number of facial findings.
    """
    blank, faceless = np.zeros(n_findings, np.float32), np.zeros(FACE_WIDTH, np.float32)
    findings = np.stack([blank if p.findings is None else p.findings for p in patients])
    observed = [encoder.closure(patient.observed) for patient in patients]
    excluded = [encoder.plain(patient.excluded) for patient in patients]
    face = [faceless if p.face is None else p.face for p in patients]
    return Features(
        observed=pack(observed, term_weights),
        excluded=pack(excluded, np.ones_like(term_weights)),
        sex=torch.tensor([sex_index(p.sex) for p in patients]),
        findings=torch.from_numpy(findings),
        face=torch.from_numpy(np.stack(face)),
        has_face=torch.tensor([[float(p.findings is not None)] for p in patients]),
        match=match.score(observed, excluded, findings),
    )
