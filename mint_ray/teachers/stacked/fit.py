"""Fit of the teacher `stacked`: features without the patient's own group, trees, and the gate."""

from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.arrays import Ints
from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.common.probabilities.gate import Gate
from mint_ray.config.config import Config
from mint_ray.config.teacher import TeacherConfig
from mint_ray.errors import TeacherError
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.teachers.base import Report
from mint_ray.teachers.cross_fit import deal_groups
from mint_ray.teachers.faces.findings import FaceFindings
from mint_ray.teachers.faces.fit_cases import fit_case_faces
from mint_ray.teachers.faces.fit_reader import finding_row
from mint_ray.teachers.held_out import accuracy
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import name_families
from mint_ray.teachers.knowledge.scale import fit_temperature
from mint_ray.teachers.stacked.evidence import SeenLabels
from mint_ray.teachers.stacked.features import Query, find_candidates
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
    *("terms", "excluded_terms", "sex", "face_terms", "image"),
)
FOLDS = 8
"""Number of parts of the training groups; features of a part come from the other parts."""
STEPS = FOLDS + 2
"""Number of reports of a fit: one per part, one for the trees and one for the gate."""
TREES = 200
USUAL_SEEN = 0.15
"""Temperature of the ranker where no validation patient has a seen disease."""


def fit_stacked(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Fit the teacher `stacked` to the output of the stage `cases`, and write it to `out`.

    The trees learn from training patients whose features leave their group out. The gate and the
    temperatures come from the validation split.

    Args:
        source: folder with `cases.parquet`, `catalogue.parquet` and `excluded_publications.txt`.
        config: of the run; the teacher uses its seed and the settings of the face reader.
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
        annotations = load_annotations(excluded, catalogue.release)
        ontology = load_ontology(catalogue.release)
        knowledge = KnowledgeMatch.of_annotations(catalogue, annotations, ontology)
        metrics = fit_cases(
            cases, catalogue, ontology, knowledge, config.teacher, config.seed, out, report
        )
    wait_for_all()
    return metrics


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
        settings: of the face reader.
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
    train, held_out = (
        LabelledPatients.of_cases(part, catalogue, encoder, n_terms, faces)
        for part in (training, validation)
    )
    ranker = fit_ranker(train, knowledge, name_families(catalogue), seed, report)
    model = RankingModel(
        catalogue, ontology, train.patients, train.labels, train.groups, knowledge, ranker
    )
    ranked = model.rank(held_out.patients)
    scale = fit_temperatures(model, ranked, held_out.labels)
    strata = model.strata[held_out.labels]
    gate = Gate.fit(ranked.features, strata, held_out.weights, model.exists)
    save_stacked(out, model, gate, scale, faces)
    report({"step": float(STEPS), "loss": 0.0})
    return accuracy(StackedTeacher(model, gate, scale, faces), validation, catalogue)


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


def fit_ranker(
    train: LabelledPatients,
    knowledge: KnowledgeMatch,
    families: Ints,
    seed: int,
    report: Report,
) -> lgb.Booster:
    """Fit trees that rank the candidates of each training patient.

    The objective is rank_xendcg (Bruch 2020, https://arxiv.org/abs/1911.09798). A patient's
    evidence comes from the patients of other parts, so that none is its own neighbour.

    Args:
        train: training patients.
        knowledge: annotations of the labels.
        families: (n_labels,) number of each label's family.
        seed: of the parts and of the trees.
        report: called once a part and once for the trees.

    Raises:
        TeacherError: no training patient shares its disease with one of another group.
    """
    features, answers, sizes, weights = [], [], [], []
    dealt = deal_groups(train.groups.tolist(), FOLDS, seed)
    part_of = np.array([dealt[group] for group in train.groups.tolist()])
    for part in range(FOLDS):
        inside, others = np.flatnonzero(part_of == part), np.flatnonzero(part_of != part)
        if len(inside) and len(others):
            asked, rest = train.take(inside), train.take(others)
            seen = SeenLabels(
                rest.patients, rest.labels, rest.groups, knowledge.frequency, knowledge.table
            )
            query = Query.of_patients(asked.patients, seen, knowledge)
            found = find_candidates(query, seen, knowledge.has_annotations, families)
            right = seen.seen[found.columns] == asked.labels[found.rows]
            # Patients whose answer is not among the candidates teach the ranking nothing.
            useful = np.isin(found.rows, found.rows[right])
            rows, counts = np.unique(found.rows[useful], return_counts=True)
            features.append(found.features[useful])
            answers.append(right[useful])
            sizes.append(counts)
            weights.append(np.repeat(train.weights[inside][rows], counts))
        report({"step": float(part + 1), "loss": 0.0})
    if not sum(len(part) for part in sizes):
        raise TeacherError(
            "expected training patients of one disease in several groups, found none among "
            f"{len(train.labels)}; set teacher.name=knowledge, which needs no training patients, "
            "or teacher.name=neighbours"
        )
    data = lgb.Dataset(
        np.concatenate(features),
        np.concatenate(answers).astype(np.int32),
        group=np.concatenate(sizes),
        weight=np.concatenate(weights),
    )
    ranker = lgb.train(_tree_settings(seed), data, TREES)
    report({"step": float(FOLDS + 1), "loss": 0.0})
    return ranker


def _tree_settings(seed: int) -> dict[str, object]:
    return {
        "objective": "rank_xendcg",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 50,
        "lambda_l2": 1.0,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def fit_temperatures(model: RankingModel, ranked: Ranked, labels: Ints) -> Temperatures:
    """Return the temperatures with the least loss within each kind of label.

    Annotations and names need no training patients, so that all patients whose answer has
    annotations (or has none) count, whether their disease was seen or not.

    Args:
        model: which ranked the patients.
        ranked: scores of n patients.
        labels: (n,) catalogue index of their answers.
    """
    annotated = model.knowledge.has_annotations
    return Temperatures(
        seen=fit_temperature(ranked.scores, labels, model.strata == 0, USUAL_SEEN),
        annotated=fit_temperature(ranked.match, labels, annotated),
        named=fit_temperature(ranked.names, labels, ~annotated),
    )
