"""Fit of the teacher `stacked`: features without the patient's own group, trees, and the gate."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.common.temperature import search_temperature
from mint_ray.config.config import Config
from mint_ray.errors import TeacherError
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import name_families
from mint_ray.teachers.stacked.evidence import SeenLabels
from mint_ray.teachers.stacked.features import Query, find_candidates
from mint_ray.teachers.stacked.gate import Gate
from mint_ray.teachers.stacked.teacher import (
    Ranked,
    RankingModel,
    StackedTeacher,
    Temperatures,
    save_stacked,
)
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_patients import TermPatients

Report = Callable[[dict[str, float]], None]

COLUMNS = ("split", "group_id", "label_id", "terms", "excluded_terms", "sex")
FOLDS = 8
"""Number of parts of the training groups; features of a part come from the other parts."""
STEPS = FOLDS + 2
"""Number of reports of a fit: one per part, one for the trees and one for the gate."""
TREES = 200
USUAL = Temperatures(seen=0.1, annotated=0.2, named=0.2)
"""Temperatures where no validation patient has an answer of the kind."""
LOG_TEMPERATURES = (-5.0, 2.0)
"""Range of a temperature's natural logarithm."""


@dataclass(frozen=True)
class LabelledPatients:
    """Patients with a known term whose answer is in the catalogue.

    Attributes:
        patients: the n patients.
        labels: (n,) catalogue index of the answer.
        groups: (n,) number of the group.
    """

    patients: TermPatients
    labels: Ints
    groups: Ints

    @classmethod
    def of_cases(
        cls, cases: pa.Table, catalogue: Catalogue, n_terms: int, encoder: TermEncoder
    ) -> "LabelledPatients":
        """Encode cases with `COLUMNS`; leave out those without a known term or answer."""
        batch = {name: cases[name].to_pylist() for name in ("terms", "excluded_terms", "sex")}
        patients = TermPatients.of_batch(batch, encoder, n_terms)
        indices = [catalogue.index_of(label or "") for label in cases["label_id"].to_pylist()]
        labels = np.array([-1 if i is None else i for i in indices], dtype=np.int64)
        groups = np.unique(cases["group_id"].to_pylist(), return_inverse=True)[1]
        usable = np.flatnonzero((labels >= 0) & (np.diff(patients.observed.indptr) > 0))
        return cls(patients.take(usable), labels[usable], groups[usable].astype(np.int64))

    def take(self, rows: Ints) -> "LabelledPatients":
        """Return the patients at `rows`."""
        return LabelledPatients(self.patients.take(rows), self.labels[rows], self.groups[rows])

    @property
    def weights(self) -> Floats:
        """Return (n,) 1 / √(patients of the group), so that large groups do not outweigh all."""
        _, member, counts = np.unique(self.groups, return_inverse=True, return_counts=True)
        weights: Floats = np.asarray(counts[member] ** -0.5, dtype=np.float64)
        return weights


def fit_stacked(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Fit the teacher `stacked` to the output of the stage `cases`, and write it to `out`.

    The trees learn from training patients whose features leave their group out. The gate and the
    temperatures come from the validation split.

    Args:
        source: folder with `cases.parquet`, `catalogue.parquet` and `excluded_publications.txt`.
        config: of the run; the teacher uses its seed.
        out: folder that `load_teacher` reads; written by the first process, which does all work.
        report: called `STEPS` times, with `step` and `loss` (0 where there is none).

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one.

    Raises:
        TeacherError: no training patient shares its disease with one of another group.
    """
    accuracy = {}
    if rank() == 0:
        rows = pc.field("split").isin(["train", "validation"])
        cases = pq.read_table(source / "cases.parquet", columns=list(COLUMNS), filters=rows)
        catalogue = Catalogue.read(source / "catalogue.parquet")
        annotations = load_annotations(read_publications(source / "excluded_publications.txt"))
        ontology = load_ontology()
        knowledge = KnowledgeMatch.of_annotations(catalogue, annotations, ontology)
        accuracy = _fit(cases, catalogue, ontology, knowledge, config.seed, out, report)
    wait_for_all()
    return accuracy


def _fit(
    cases: pa.Table,
    catalogue: Catalogue,
    ontology: Ontology,
    knowledge: KnowledgeMatch,
    seed: int,
    out: Path,
    report: Report,
) -> dict[str, float]:
    encoder, n_terms = TermEncoder(ontology), len(ontology.ids)
    train, held_out = (
        LabelledPatients.of_cases(
            cases.filter(pc.equal(cases["split"], split)), catalogue, n_terms, encoder
        )
        for split in ("train", "validation")
    )
    ranker = fit_ranker(train, knowledge, name_families(catalogue), seed, report)
    model = RankingModel(
        catalogue, ontology, train.patients, train.labels, train.groups, knowledge, ranker
    )
    if not len(held_out.labels):
        gate = Gate.fit(np.zeros((0, 9), np.float32), held_out.labels, np.zeros(0), model.exists)
        save_stacked(out, model, gate, USUAL)
        report({"step": float(STEPS), "loss": 0.0})
        return {}
    ranked = model.rank(held_out.patients)
    scale = fit_temperatures(model, ranked, held_out.labels)
    strata = model.strata[held_out.labels]
    gate = Gate.fit(ranked.features, strata, held_out.weights, model.exists)
    save_stacked(out, model, gate, scale)
    scores = StackedTeacher(model, gate, scale).log_probabilities(ranked)
    own = scores[np.arange(len(scores)), held_out.labels]
    report({"step": float(STEPS), "loss": -float(own.mean())})
    ranks = 1 + (scores > own[:, None]).sum(axis=1)
    return {f"validation.top{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}


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
    part_of = deal_groups(train.groups, FOLDS, seed)
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


def deal_groups(groups: Ints, parts: int, seed: int) -> Ints:
    """Return (n,) the part of each patient; groups are dealt in random order and never divided.

    If all patients are of one group, each is dealt alone.
    """
    units = groups if len(np.unique(groups)) > 1 else np.arange(len(groups))
    numbers, member = np.unique(units, return_inverse=True)
    order = np.random.default_rng([seed, 3]).permutation(len(numbers))
    dealt: Ints = (order % parts)[member].astype(np.int64)
    return dealt


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
    seen = model.strata == 0
    return Temperatures(
        _temperature(ranked.scores, labels, seen, USUAL.seen),
        _temperature(ranked.match, labels, annotated, USUAL.annotated),
        _temperature(ranked.names, labels, ~annotated, USUAL.named),
    )


def _temperature(scores: Floats | Floats32, labels: Ints, wanted: Bools, usual: float) -> float:
    """Return the temperature of the softmax over the wanted labels; `usual` without a patient."""
    rows = np.flatnonzero(wanted[labels])
    if not len(rows):
        return usual
    among = np.asarray(scores[np.ix_(rows, np.flatnonzero(wanted))], dtype=np.float64)
    columns = np.searchsorted(np.flatnonzero(wanted), labels[rows])

    def loss(temperature: float) -> float:
        chosen = log_softmax(among / temperature, axis=1)[np.arange(len(rows)), columns]
        return -float(chosen.mean())

    return search_temperature(loss, LOG_TEMPERATURES)
