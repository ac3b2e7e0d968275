"""Fit of the teacher `stacked`: features without the patient's own group, trees, and the gate."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.arrays import Ints
from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.common.probabilities.gate import Gate
from mint_ray.config.config import Config
from mint_ray.config.teacher import TeacherConfig
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.notes.findings import load_reader
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.teachers.base import Report
from mint_ray.teachers.faces.findings import FaceFindings
from mint_ray.teachers.faces.fit_cases import fit_case_faces
from mint_ray.teachers.faces.fit_reader import finding_row
from mint_ray.teachers.held_out import accuracy
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch, name_families
from mint_ray.teachers.knowledge.scale import fit_temperature
from mint_ray.teachers.report_findings import ReportFindings
from mint_ray.teachers.stacked.rankers import FOLDS, fit_rankers
from mint_ray.teachers.stacked.teacher import (
    Ranked,
    RankingModel,
    StackedTeacher,
    Temperatures,
    save_stacked,
)
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_patients import LabelledPatients, published_cases

COLUMNS = (
    *("case_id", "split", "group_id", "label_id", "source"),
    *("terms", "excluded_terms", "sex", "face_terms", "image", "description"),
)
STEPS = FOLDS + 2
"""Number of reports of a fit: one per part, one for the trees and one for the gate."""
USUAL_SEEN = 0.15
"""Temperature of the ranker where no validation patient has a seen disease."""
USUAL_UNSEEN = 1.0
"""Temperature of the ranker of an unseen kind without validation patients: its score is already a
match over its usual temperature."""


def fit_stacked(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Fit the teacher `stacked` to the output of the stage `cases`, and write it to `out`.

    The trees learn from training patients whose features leave their group out. The gate and the
    temperatures come from the validation split.

    Args:
        source: folder with `cases.parquet`, `catalogue.parquet` and `excluded_publications.txt`.
        config: of the run; the teacher uses its seed, the settings of the face reader, and whether
            descriptions are laboratory reports.
        out: folder that `load_teacher` reads; written by the first process, which does all work.
        report: called `STEPS` times, with `step` and `loss` (0: trees have no loss of their own).

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one.

    Raises:
        TeacherError: no training patient shares its disease with one of another group.
    """
    metrics = {}
    if rank() == 0:
        rows = pc.field("split").isin(["train", "validation"])
        cases = pq.read_table(source / "cases.parquet", columns=list(COLUMNS), filters=rows)
        catalogue = Catalogue.read(source / "catalogue.parquet")
        excluded = read_publications(source / "excluded_publications.txt")
        annotations = load_annotations(excluded, catalogue.release, config.knowledge.pooled_lines)
        ontology = load_ontology(catalogue.release)
        knowledge = KnowledgeMatch.of_annotations(catalogue, annotations, ontology)
        metrics = fit_cases(
            cases, catalogue, ontology, knowledge, _settings(config), config.seed, out, report
        )
    wait_for_all()
    return metrics


def _settings(config: Config) -> TeacherConfig:
    """Return the settings of the teacher, which reads no description but a laboratory report."""
    reports = config.teacher.reports and config.cases.modalities == "laboratory_in_report"
    return config.teacher.model_copy(update={"reports": reports})


def fit_cases(
    cases: pa.Table,
    catalogue: Catalogue,
    ontology: Ontology,
    knowledge: KnowledgeMatch,
    settings: TeacherConfig,
    seed: int,
    out: Path,
    report: Report,
) -> dict[str, float]:
    """Fit the teacher `stacked` and write it to `out`.

    Args:
        cases: `COLUMNS` of the splits `train` and `validation`.
        catalogue: labels to score.
        ontology: of the terms.
        knowledge: annotations of the labels.
        settings: of the face reader; `reports` says whether descriptions are laboratory reports
            that the teacher reads.
        seed: of the parts, the trees and the face reader.
        out: folder that `load_teacher` reads.
        report: see `fit_stacked`.

    Returns:
        As `fit_stacked`.

    Raises:
        TeacherError: no training patient shares its disease with one of another group.
    """
    encoder, n_terms = TermEncoder(ontology), len(ontology.ids)
    training, validation = (
        cases.filter(pc.equal(cases["split"], split)) for split in ("train", "validation")
    )
    training = published_cases(training)
    faces = _fit_faces(training, catalogue, ontology, knowledge, settings, seed)
    reports = _open_reports(training, ontology, settings)
    train, held_out = (
        LabelledPatients.of_cases(part, catalogue, encoder, n_terms, faces, reports)
        for part in (training, validation)
    )
    names, families = NameMatch(catalogue, ontology), name_families(catalogue)
    rankers = fit_rankers(train, knowledge, names, families, seed, report)
    model = RankingModel(
        catalogue, ontology, train.patients, train.labels, train.groups, knowledge, rankers
    )
    ranked = model.rank(held_out.patients)
    scale = fit_temperatures(model, ranked, held_out.labels)
    strata = model.strata[held_out.labels]
    gate = Gate.fit(ranked.features, strata, held_out.weights, model.exists)
    save_stacked(out, model, gate, scale, faces, reports)
    report({"step": float(STEPS), "loss": 0.0})
    teacher = StackedTeacher(model, gate, scale, faces, reports)
    return accuracy(teacher, validation, catalogue)


def _fit_faces(
    training: pa.Table,
    catalogue: Catalogue,
    ontology: Ontology,
    knowledge: KnowledgeMatch,
    settings: TeacherConfig,
    seed: int,
) -> FaceFindings:
    """Fit the face reader where training cases have images and the teacher looks at them."""
    if not settings.faces or training["image"].null_count == training.num_rows:
        return FaceFindings(None)
    known = {ontology.ids[term] for term in np.unique(knowledge.annotated.indices).tolist()}
    shown = {term for terms in training["face_terms"].to_pylist() for term in terms or ()}
    choice = np.flatnonzero(finding_row(known | shown, ontology))
    return FaceFindings(
        fit_case_faces(training, choice, catalogue, ontology, settings, seed).reader
    )


def _open_reports(
    training: pa.Table, ontology: Ontology, settings: TeacherConfig
) -> ReportFindings:
    """Open a reader of reports where training cases have them and the teacher reads them."""
    has_some = settings.reports and any(training["description"].to_pylist())
    return ReportFindings(load_reader(ontology) if has_some else None)


def fit_temperatures(model: RankingModel, ranked: Ranked, labels: Ints) -> Temperatures:
    """Return the temperatures with the least loss within each kind of label.

    Args:
        model: which ranked the patients.
        ranked: scores of n patients.
        labels: (n,) catalogue index of their answers.
    """
    usual = (USUAL_SEEN, USUAL_UNSEEN, USUAL_UNSEEN)
    return Temperatures(
        *(
            fit_temperature(ranked.scores, labels, model.strata == kind, value)
            for kind, value in enumerate(usual)
        )
    )
