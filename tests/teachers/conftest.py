"""A teacher of eight invented diseases: four told by the face, four by other findings."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.patients.simulate import simulate_cases
from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.cases.splits import assign_splits
from mint_ray.config.cases import CasesConfig, SimulationConfig
from mint_ray.config.teacher import TeacherConfig
from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import SEEN_COLUMNS, Teacher
from mint_ray.teachers.fusion.fit import fit_teacher

COMMON = "HP:0001263"  # global developmental delay: tells none of them from another
FINDINGS = (
    ("HP:0000508", "HP:0000343"),  # ptosis, long philtrum
    ("HP:0000316", "HP:0000411"),  # hypertelorism, protruding ear
    ("HP:0000252", "HP:0000664"),  # microcephaly, synophrys
    ("HP:0000280", "HP:0000256"),  # coarse facial features, macrocephaly
    ("HP:0001638", "HP:0001284", "HP:0002066"),
    ("HP:0000822", "HP:0000107", "HP:0000093"),
    ("HP:0000365", "HP:0000505", "HP:0000518"),
    ("HP:0002240", "HP:0001744", "HP:0001873"),
)
FACIAL = 4

SETTINGS = TeacherConfig(
    hidden=64,
    epochs=5,
    batch_size=32,
    learning_rate=1e-2,
    simulated_per_label=20,
    face_samples=1000,
    face_epochs=4,
)


class Fitted(NamedTuple):
    """A fit and all that went into it."""

    folder: Path
    metrics: dict[str, float]
    reports: list[dict[str, float]]
    cases: pa.Table
    catalogue: Catalogue
    annotations: Annotations

    def rows(self, split: str) -> list[dict[str, Any]]:
        return [row for row in self.cases.to_pylist() if row["split"] == split]


def invented_annotations() -> Annotations:
    rows = {
        f"OMIM:90000{i}": [
            Row(term, 9, 10, float("nan"), False, None, "PMID:1") for term in (*terms, COMMON)
        ]
        for i, terms in enumerate(FINDINGS)
    }
    return Annotations(rows, {key: f"Invented disease {key[-1]}" for key in rows}, {}, {})


def simulated_table(
    annotations: Annotations, patients: int, seed: int, settings: CasesConfig | None = None
) -> pa.Table:
    config = SimulationConfig(patients_per_disease=patients, noise_terms=0.1, missing=0.1)
    ontology = load_ontology()
    cases = simulate_cases(annotations, ontology, annotations.diseases, config, seed)
    note = "" if settings else "-"  # to be written, or given: teachers of terms read none
    split = assign_splits([{**case, "note": note} for case in cases], 0.1, 0.4, seed)
    done = finish_cases(split, {}, ontology, settings or CasesConfig(), seed)
    return pa.Table.from_pylist(done.cases, CASE_SCHEMA)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Fitted once for all tests."""
    folder = tmp_path_factory.mktemp("teacher")
    annotations = invented_annotations()
    cases = simulated_table(annotations, 20, seed=1)
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    reports: list[dict[str, float]] = []
    metrics = fit_teacher(
        cases, catalogue, annotations, load_ontology(), SETTINGS, 0, folder, reports.append
    )
    return Fitted(folder, metrics, reports, cases, catalogue, annotations)


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in SEEN_COLUMNS}


def top1(teacher: Teacher, rows: list[dict[str, Any]]) -> float:
    """Share of the rows whose answer is ranked first."""
    best = [teacher.labels[i] for i in teacher.score(columns(rows)).argmax(axis=1)]
    return float(np.mean([label == row["label_id"] for label, row in zip(best, rows, strict=True)]))
