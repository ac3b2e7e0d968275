"""Boosted trees that rank the candidates of each kind of label, and their fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm as lgb
import numpy as np

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.errors import TeacherError
from mint_ray.teachers.cross_fit import deal_groups
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch
from mint_ray.teachers.knowledge.scale import USUAL_TEMPERATURE
from mint_ray.teachers.stacked.evidence import SeenLabels
from mint_ray.teachers.stacked.features import Candidates, Query, find_candidates
from mint_ray.teachers.stacked.strata import STRATA, labels_of, strata_of
from mint_ray.teachers.stacked.unseen import LabelFamilies, UnseenEvidence
from mint_ray.teachers.term_patients import LabelledPatients

FOLDS = 8
"""Number of parts of the training groups; features of a part come from the other parts."""
TREES = {"seen": 200, "annotated": 150, "named": 150}
SEEN_SHAPE = {"num_leaves": 31, "min_data_in_leaf": 50, "lambda_l2": 1.0}
UNSEEN_SHAPE = {"num_leaves": 7, "min_data_in_leaf": 200, "lambda_l2": 10.0}
"""Smaller trees: what ranks a label that has no patients must hold for any label."""

TIE_WEIGHT = 0.1
"""Weight of the score that needs no training beside the trees."""


@dataclass(frozen=True)
class Rankers:
    """Trees by kind of label; None where no training patient could teach them.

    Labels without patients then rank by the score that needs no training. Beside trees this score
    only orders what they leave equal.
    """

    seen: lgb.Booster
    annotated: lgb.Booster | None
    named: lgb.Booster | None

    def score(self, kind: int, found: Candidates, base: Floats32 | None = None) -> Floats:
        """Return (m,) the scores of candidates of a kind, see `STRATA`.

        Args:
            kind: position in `STRATA`.
            found: the candidates.
            base: (n, n_labels) score that needs no training, for kinds without patients.
        """
        trees: lgb.Booster | None = getattr(self, STRATA[kind])
        scores = np.zeros(len(found.rows))
        if base is not None:
            plain = base[found.rows, found.columns]
            scores += plain / USUAL_TEMPERATURE if trees is None else TIE_WEIGHT * plain
        if trees is not None and len(found.rows):  # LightGBM refuses an empty table
            scores += np.asarray(trees.predict(found.features, raw_score=True))
        return scores

    def save(self, folder: Path) -> list[str]:
        """Write the trees as text, and return the names of the files."""
        written = []
        for kind, trees in vars(self).items():
            if trees is not None:
                trees.save_model(folder / file_of(kind))
                written.append(file_of(kind))
        return written

    @classmethod
    def load(cls, folder: Path, files: Mapping[str, str]) -> "Rankers":
        """Read what `save` wrote; `files` are those of the manifest."""
        trees = {
            kind: lgb.Booster(model_file=folder / file_of(kind))
            for kind in STRATA
            if file_of(kind) in files
        }
        return cls(trees["seen"], trees.get("annotated"), trees.get("named"))


def file_of(kind: str) -> str:
    """Return the name of the file with the trees of a kind."""
    return f"{kind}_ranker.txt"


@dataclass
class _Examples:
    """Candidates of training patients whose answer is among them, in parts."""

    features: list[Floats32] = field(default_factory=list)
    right: list[np.ndarray] = field(default_factory=list)
    sizes: list[Ints] = field(default_factory=list)
    weights: list[Floats] = field(default_factory=list)

    def add(self, found: Candidates, right: np.ndarray, weights: Floats) -> None:
        """Add the candidates of n patients.

        Args:
            found: the candidates.
            right: (m,) whether a pair's label is the answer.
            weights: (n,) of the patients.
        """
        # Patients whose answer is not among the candidates teach the ranking nothing.
        useful = np.isin(found.rows, found.rows[right])
        rows, counts = np.unique(found.rows[useful], return_counts=True)
        self.features.append(found.features[useful])
        self.right.append(right[useful])
        self.sizes.append(counts)
        self.weights.append(np.repeat(weights[rows], counts))

    def fit(self, kind: str, seed: int) -> lgb.Booster | None:
        """Fit the trees of a kind; None without examples."""
        if not sum(len(part) for part in self.sizes):
            return None
        data = lgb.Dataset(
            np.concatenate(self.features),
            np.concatenate(self.right).astype(np.int32),
            group=np.concatenate(self.sizes),
            weight=np.concatenate(self.weights),
        )
        return lgb.train(_tree_settings(kind, seed), data, TREES[kind])


def fit_rankers(
    train: LabelledPatients,
    knowledge: KnowledgeMatch,
    names: NameMatch,
    families: Ints,
    seed: int,
    report: Callable[[dict[str, float]], None],
) -> Rankers:
    """Fit trees to candidates of training patients, with features that leave out their group.

    Each part of the groups is described by the patients of the other parts. A patient's own label
    is also an example of a label without patients: what its siblings, annotations and name say
    does not rest on its patients.

    Args:
        train: training patients.
        knowledge: annotations of the labels.
        names: of the labels.
        families: (n_labels,) number of each label's family.
        seed: of the parts and of the trees.
        report: called after each part and after the trees.

    Raises:
        TeacherError: no patient has a label that occurs in another group.
    """
    examples = {kind: _Examples() for kind in STRATA}
    dealt = deal_groups(train.groups.tolist(), FOLDS, seed)
    part_of = np.array([dealt[group] for group in train.groups.tolist()])
    siblings = LabelFamilies(families)
    for part in range(FOLDS):
        inside, others = np.flatnonzero(part_of == part), np.flatnonzero(part_of != part)
        if len(inside) and len(others):
            asked, rest = train.take(inside), train.take(others)
            _add_part(examples, asked, rest, knowledge, names, families, siblings)
        report({"step": float(part + 1), "loss": 0.0})
    seen = examples["seen"].fit("seen", seed)
    if seen is None:
        raise TeacherError(
            "expected training patients of one disease in several groups, found none among "
            f"{len(train.labels)}; set teacher.name=knowledge, which needs no training patients, "
            "or teacher.name=neighbours"
        )
    annotated, named = (examples[kind].fit(kind, seed) for kind in ("annotated", "named"))
    report({"step": float(FOLDS + 1), "loss": 0.0})
    return Rankers(seen, annotated, named)


def _add_part(
    examples: Mapping[str, _Examples],
    asked: LabelledPatients,
    rest: LabelledPatients,
    knowledge: KnowledgeMatch,
    names: NameMatch,
    families: Ints,
    siblings: LabelFamilies,
) -> None:
    """Add the candidates of the patients of one part, as the other patients describe them."""
    weights = asked.weights
    seen = SeenLabels(rest.patients, rest.labels, rest.groups, knowledge.frequency, knowledge.table)
    query = Query.of_patients(asked.patients, seen, knowledge)
    found = find_candidates(query, seen, knowledge.has_annotations, families)
    right = seen.seen[found.columns] == asked.labels[found.rows]
    examples["seen"].add(found, right, weights)
    strata = strata_of(len(families), seen.seen, knowledge.has_annotations)
    evidence = UnseenEvidence(query, seen.seen, names.score(asked.patients), siblings, knowledge)
    for kind, annotated in ((1, True), (2, False)):
        of_kind = knowledge.has_annotations[asked.labels] == annotated
        answers = np.where(of_kind, asked.labels, -1)
        found = evidence.find(labels_of(strata, kind), annotated, answers)
        right = found.columns == answers[found.rows]
        examples[STRATA[kind]].add(found, right, weights)


def _tree_settings(kind: str, seed: int) -> dict[str, object]:
    return {
        "objective": "rank_xendcg",
        "learning_rate": 0.05,
        **(SEEN_SHAPE if kind == "seen" else UNSEEN_SHAPE),
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
