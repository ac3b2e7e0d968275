"""From prediction rows to arrays over the evaluated cases.

Every case is in every array: one without predictions is a miss (rank infinite, probability
and confidence 0, an empty list).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.errors import DataError
from mint_ray.evaluation.name_similarity import names_match
from mint_ray.evaluation.predictions import validate_predictions
from mint_ray.tasks.task import MOST_LABELS

PROBABILITY_FLOOR = 1e-12
"""What a probability of 0 counts as where its logarithm is taken."""


_WHOLE = 1e-3  # how far from 1 the sum of a whole distribution's probabilities may be


_NO_ANSWER = -1  # a listed name that no catalogue entry has


_NOT_IN_CATALOGUE = -2  # a known answer that no catalogue entry has; equals no listed code


@dataclass(frozen=True)
class EvaluatedCases:
    """The denominator: n cases, their groups, known answers and strata."""

    case_ids: tuple[str, ...]
    groups: Ints
    """(n,) position of the case's group among the groups."""
    known: Ints
    """(n,) code of the known answer, negative where the catalogue lacks it."""
    known_ids: tuple[str, ...]
    """Primary id of the known answer, or the id as given where the catalogue lacks it."""
    known_names: tuple[tuple[str, ...], ...]
    """Names and synonyms of the known answer, for the lenient match; may be empty."""
    strata: dict[str, Bools]
    """(n,) members of each stratum."""
    codes: Mapping[str, int]
    """Any id of a catalogue entry to the entry's code."""

    def __len__(self) -> int:
        return len(self.case_ids)

    @property
    def n_labels(self) -> int:
        """Number of catalogue entries, whose codes are 0 to `n_labels` − 1."""
        return 1 + max(self.codes.values(), default=-1)


def index_cases(
    cases: pa.Table,
    primary_ids: Mapping[str, str],
    names: Mapping[str, Sequence[str]] | None = None,
    strata: Mapping[str, Bools] | None = None,
) -> EvaluatedCases:
    """Prepare the cases that all systems are measured on.

    Args:
        cases: columns case_id, group_id, label_id, seen; label_name is used where present.
        primary_ids: any id of a catalogue entry (its own included) to its primary id.
        names: primary id to name and synonyms.
        strata: further strata beside `all`, `seen`, `unseen`: (n,) masks.

    Raises:
        DataError: no cases, a case twice, or a case without a known answer.
    """
    case_ids = cases["case_id"].to_pylist()
    labels = cases["label_id"].to_pylist()
    _check_cases(case_ids, labels)
    codes = _code_ids(primary_ids)
    known_ids = tuple(primary_ids.get(label, label) for label in labels)
    given = (
        cases["label_name"].to_pylist()
        if "label_name" in cases.column_names
        else [None] * len(labels)
    )
    known_names = tuple(
        tuple(dict.fromkeys([*(names or {}).get(label, ()), *([name] if name else [])]))
        for label, name in zip(known_ids, given, strict=True)
    )
    seen = np.array([bool(value) for value in cases["seen"].to_pylist()], dtype=np.bool_)
    _, groups = np.unique(np.array(cases["group_id"].to_pylist()), return_inverse=True)
    return EvaluatedCases(
        tuple(case_ids),
        groups.astype(np.int64),
        np.array([codes.get(label, _NOT_IN_CATALOGUE) for label in labels], dtype=np.int64),
        known_ids,
        known_names,
        {"all": np.ones(len(labels), dtype=np.bool_), "seen": seen, "unseen": ~seen}
        | dict(strata or {}),
        codes,
    )


def _check_cases(case_ids: list[str], labels: list[str | None]) -> None:
    if not case_ids:
        raise DataError("evaluation needs at least one case, found none")
    duplicates = len(case_ids) - len(set(case_ids))
    unknown = sum(label is None for label in labels)
    if duplicates or unknown:
        raise DataError(
            f"evaluation needs unique cases with a known answer; of {len(case_ids)} rows "
            f"{duplicates} repeat a case_id and {unknown} have no label_id; drop those rows",
            {"duplicate_case": duplicates, "no_known_answer": unknown},
        )


def _code_ids(primary_ids: Mapping[str, str]) -> dict[str, int]:
    code = {primary: place for place, primary in enumerate(sorted(set(primary_ids.values())))}
    return {any_id: code[primary] for any_id, primary in primary_ids.items()}


@dataclass(frozen=True)
class Outcomes:
    """What one system answered: arrays over the n cases and the k places of their lists."""

    rank: Floats
    """(n,) rank of the known answer from 1, infinite for a miss."""
    probability: Floats
    """(n,) probability of the known answer, 0 for a miss."""
    confidence: Floats
    """(n,) probability of the first answer, 0 where there is none."""
    listed: Bools
    """(n, k) whether a name stands at the place."""
    codes: Ints
    """(n, k) catalogue code of the name, -1 for none."""
    lenient: Bools
    """(n, k) whether the name is similar to a name of the known answer."""
    has_probabilities: bool
    distribution: Floats | None = None
    """(n, n_labels) probability of every answer, zeros for a case without any; None where it is
    not known."""

    @property
    def first(self) -> Ints:
        """(n,) code of the first answer, negative where there is none in the catalogue."""
        return self.codes[:, 0]

    @property
    def correct(self) -> Bools:
        """(n,) whether the first answer is the known one."""
        right: Bools = self.rank == 1
        return right


def collect_outcomes(
    predictions: pa.Table, cases: EvaluatedCases, top_k: int, *, whole: bool = False
) -> dict[str, Outcomes]:
    """Outcomes by system; rows of other cases are left out.

    Rows of rank 1 to `top_k` are the list; a row beyond only tells the known answer's true rank.
    A name given twice counts at its best rank.

    Args:
        whole: the rows beyond the list hold the rest of the catalogue, up to `MOST_LABELS`
            entries: `Outcomes.distribution` is filled where all probability is accounted for.
    """
    table = validate_predictions(predictions)
    place = {case_id: position for position, case_id in enumerate(cases.case_ids)}
    case = np.array([place.get(c, -1) for c in table["case_id"].to_pylist()], dtype=np.int64)
    system = np.array(table["system"].to_pylist(), dtype=object)
    rank = table["rank"].to_numpy().astype(np.int64)
    code = np.array(
        [cases.codes.get(label, _NO_ANSWER) for label in table["label_id"].to_pylist()],
        dtype=np.int64,
    )
    probability = table["probability"].to_numpy().astype(np.float64)
    text = np.array(table["text"].to_pylist(), dtype=object)
    outcomes = {}
    for name in sorted(set(system.tolist())):
        rows = np.flatnonzero((system == name) & (case >= 0))
        answers = _Answers(case[rows], rank[rows], code[rows], probability[rows], text[rows])
        outcomes[name] = _outcomes_of(answers, cases, top_k, whole)
    return outcomes


@dataclass(frozen=True)
class _Answers:
    """The prediction rows of one system, column-wise."""

    case: Ints
    rank: Ints
    code: Ints
    probability: Floats
    text: NDArray[np.object_]


def _outcomes_of(answers: _Answers, cases: EvaluatedCases, top_k: int, whole: bool) -> Outcomes:
    n = len(cases)
    probability = np.nan_to_num(answers.probability, nan=0.0).clip(0.0, 1.0)
    best_rank = np.full(n, np.inf)
    right = answers.code == cases.known[answers.case]
    np.minimum.at(best_rank, answers.case[right], answers.rank[right])
    known_probability = np.zeros(n)
    best = right & (answers.rank == best_rank[answers.case])
    known_probability[answers.case[best]] = probability[best]
    confidence = np.zeros(n)
    first = answers.rank == 1
    confidence[answers.case[first]] = probability[first]
    listed = np.zeros((n, top_k), dtype=np.bool_)
    codes = np.full((n, top_k), _NO_ANSWER, dtype=np.int64)
    lenient = np.zeros((n, top_k), dtype=np.bool_)
    within = np.flatnonzero(answers.rank <= top_k)
    spot = answers.case[within], answers.rank[within] - 1
    listed[spot] = True
    codes[spot] = answers.code[within]
    lenient[spot] = [
        names_match(answers.text[row], cases.known_names[answers.case[row]]) for row in within
    ]
    has_probabilities = not bool(np.isnan(answers.probability).any())
    distribution = _distribution(answers, probability, cases) if whole else None
    return Outcomes(
        best_rank,
        known_probability,
        confidence,
        listed,
        codes,
        lenient,
        has_probabilities,
        distribution if has_probabilities else None,
    )


def _distribution(answers: _Answers, probability: Floats, cases: EvaluatedCases) -> Floats | None:
    """(n, n_labels); None where an answered case's rows leave probability out."""
    if cases.n_labels > MOST_LABELS:
        return None
    table = np.zeros((len(cases), cases.n_labels))
    inside = answers.code >= 0
    np.maximum.at(table, (answers.case[inside], answers.code[inside]), probability[inside])
    answered = np.unique(answers.case)
    return table if bool(np.all(np.abs(table[answered].sum(axis=1) - 1) < _WHOLE)) else None
