"""Candidates and their features among the labels without training patients.

Such a label has annotations, or only a name. Its siblings, whose names differ from its own by the
numbers and letters at the end alone, may have patients or annotations that speak for it.
"""

import numpy as np

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.stacked.features import Candidates, Query, gap_to_best

CANDIDATES = 60
"""Number of labels of a kind that its own score proposes; others propose a third or less."""


class LabelFamilies:
    """Families of the labels of a catalogue.

    Args:
        families: (n_labels,) number of each label's family; see `name_families`.

    Attributes:
        sizes: (n_labels,) number of labels of each label's family.
    """

    def __init__(self, families: Ints) -> None:
        _, member, counts = np.unique(families, return_inverse=True, return_counts=True)
        self.sizes: Ints = counts[member].astype(np.int64)
        order = np.argsort(member, kind="stable")
        parts = np.split(order, np.cumsum(counts)[:-1])
        self._families = [part.astype(np.int64) for part in parts if len(part) > 1]

    def best_sibling(self, values: Floats32, columns: Ints) -> Floats32:
        """Return (n, n_labels) the best value of each label's siblings, without its own.

        Args:
            values: (n, m) at least 0, of some of the labels.
            columns: (m,) catalogue index of these labels.

        Returns:
            0 for a label without siblings among them.
        """
        position = np.full(len(self.sizes), -1, dtype=np.int64)
        position[columns] = np.arange(len(columns))
        result = np.zeros((len(values), len(self.sizes)), dtype=np.float32)
        for family in self._families:
            inside = family[position[family] >= 0]
            if not len(inside):
                continue
            known = values[:, position[inside]]
            first = known.argmax(axis=1)
            best = known[np.arange(len(known)), first]
            second = np.partition(known, -2, axis=1)[:, -2] if len(inside) > 1 else 0 * best
            own = inside[first][:, None] == family[None]
            result[:, family] = np.where(own, second[:, None], best[:, None])
        return result


class UnseenEvidence:
    """Evidence of annotations, names and siblings for n patients and all labels.

    Args:
        query: the patients.
        seen: (n_seen,) catalogue index of the labels with training patients.
        names: (n, n_labels) match with the labels' names.
        families: of the labels.
        knowledge: annotations of the labels.
    """

    def __init__(
        self,
        query: Query,
        seen: Ints,
        names: Floats32,
        families: LabelFamilies,
        knowledge: KnowledgeMatch,
    ) -> None:
        self._query, self._names, self._families = query, names, families
        self._annotations = np.diff(knowledge.annotated.indptr)
        self._match = query.match.total
        self._nearest = families.best_sibling(query.evidence.nearest, seen)
        annotated = np.flatnonzero(knowledge.has_annotations).astype(np.int64)
        self._sibling_match = families.best_sibling(self._match[:, annotated], annotated)

    def base(self, annotated: bool) -> Floats32:
        """Return (n, n_labels) the score that needs no training: of annotations, or of names."""
        return self._match if annotated else self._names

    def find(self, labels: Ints, annotated: bool, answers: Ints | None = None) -> Candidates:
        """Propose labels of one kind for each patient, and compute the features of the pairs.

        Args:
            labels: (k,) catalogue index of the labels of the kind.
            annotated: whether the labels have annotations.
            answers: (n,) catalogue index of a label that each patient gets as well; −1 for none.

        Returns:
            Pairs whose `columns` are catalogue indices.
        """
        n = len(self._match)
        proposed = np.zeros(self._match.shape, dtype=bool)
        shares = (
            (self.base(annotated), CANDIDATES),
            (self._names, CANDIDATES // 3),
            (self._nearest, CANDIDATES // 3),
            (self._sibling_match, CANDIDATES // 6),
        )
        for values, count in shares:
            count = min(count, len(labels))
            if count:
                best = np.argpartition(-values[:, labels], count - 1, axis=1)[:, :count]
                np.put_along_axis(proposed, labels[best], True, axis=1)
        if answers is not None:
            has = np.flatnonzero(answers >= 0)
            proposed[has, answers[has]] = True
        rows, columns = np.nonzero(proposed)
        named = self._features(rows, columns, n)
        features = np.stack(list(named.values()), axis=1).astype(np.float32)
        return Candidates(rows, columns, features)

    def _features(self, rows: Ints, columns: Ints, n: int) -> dict[str, np.ndarray]:
        """Return the features of pairs by name, each (m,)."""
        query, match = self._query, self._query.match
        names, total = self._names[rows, columns], self._match[rows, columns]
        nearest = query.evidence.nearest.max(axis=1)[rows]
        sibling = self._nearest[rows, columns]
        return {
            "match": total,
            "sibling": sibling,
            "resnik": match.resnik[rows, columns],
            "coverage": match.coverage[rows, columns],
            "reverse": match.reverse[rows, columns],
            "match_gap": gap_to_best(total, rows, n),
            "names": names,
            "names_gap": gap_to_best(names, rows, n),
            "sibling_gap": sibling - nearest,
            "sibling_match": self._sibling_match[rows, columns],
            "annotations": np.log1p(self._annotations[columns]),
            "family": np.log(self._families.sizes[columns]),
            "observed_terms": query.n_observed[rows],
            "best_nearest": nearest,
        }
