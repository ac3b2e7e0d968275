"""Outcomes of systems: prediction rows as arrays over the evaluated cases.

Every array covers every case. A case without predictions is a miss: its rank is infinite, its
probability and confidence are 0, and its list is empty.
"""

from collections.abc import Collection, Mapping, Sequence
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
"""Least probability whose logarithm is taken; smaller ones count as this."""


_SUM_TOLERANCE = 1e-3  # largest |sum − 1| of the probabilities of a whole distribution


_NO_ANSWER = -1  # code of a listed name that the catalogue lacks


# Code of a known answer that the catalogue lacks. It differs from `_NO_ANSWER`, so that an answer
# outside the catalogue never counts as right.
_NOT_IN_CATALOGUE = -2


@dataclass(frozen=True)
class EvaluatedCases:
    """The n cases that all systems are measured on: groups, known answers and strata."""

    case_ids: tuple[str, ...]
    groups: Ints
    """(n,) code of the case's group."""
    known: Ints
    """(n,) code of the known answer, negative where the catalogue lacks it."""
    known_ids: tuple[str, ...]
    """Primary id of the known answer; the id in the case where the catalogue lacks it."""
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
    """Index the cases that all systems are measured on.

    Args:
        cases: columns case_id, group_id, label_id, seen (whether the label has training cases);
            label_name is used if present.
        primary_ids: any id of a catalogue entry (its own included) to its primary id.
        names: primary id to name and synonyms.
        strata: (n,) masks of strata beside `all`, `seen` and `unseen`.

    Raises:
        DataError: there is no case, a case occurs twice, or a case has no known answer.
    """
    case_ids = cases["case_id"].to_pylist()
    labels = cases["label_id"].to_pylist()
    _check_cases(case_ids, labels)
    codes = _code_ids(primary_ids)
    known_ids = tuple(primary_ids.get(label, label) for label in labels)
    label_names = (
        cases["label_name"].to_pylist()
        if "label_name" in cases.column_names
        else [None] * len(labels)
    )
    known_names = tuple(
        tuple(dict.fromkeys([*(names or {}).get(label, ()), *([name] if name else [])]))
        for label, name in zip(known_ids, label_names, strict=True)
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
    code = {primary: index for index, primary in enumerate(sorted(set(primary_ids.values())))}
    return {any_id: code[primary] for any_id, primary in primary_ids.items()}


@dataclass(frozen=True)
class Outcomes:
    """Answers of one system: arrays over the n cases and the k ranks of their lists."""

    rank: Floats
    """(n,) rank of the known answer from 1, infinite for a miss."""
    probability: Floats
    """(n,) probability of the known answer, 0 for a miss."""
    confidence: Floats
    """(n,) probability of the first answer, 0 for a case without an answer."""
    listed: Bools
    """(n, k) whether the list has a name of this rank."""
    codes: Ints
    """(n, k) catalogue code of the name; -1 if the catalogue or the list lacks it."""
    lenient: Bools
    """(n, k) whether the name is similar to a name of the known answer."""
    has_probabilities: bool
    distribution: Floats | None = None
    """(n, n_labels) probability of every answer, zeros for a case without an answer; None if the
    probabilities of some answers are unknown."""

    @property
    def first(self) -> Ints:
        """(n,) code of the first answer, negative where the catalogue lacks it."""
        return self.codes[:, 0]

    @property
    def correct(self) -> Bools:
        """(n,) whether the first answer is the known one."""
        is_first: Bools = self.rank == 1
        return is_first


def collect_outcomes(
    predictions: pa.Table,
    cases: EvaluatedCases,
    top_k: int,
    *,
    whole: bool = False,
    systems: Collection[str] = (),
) -> dict[str, Outcomes]:
    """Collect the outcomes of each system; rows of other cases are left out.

    Rows of rank 1 to `top_k` are the list. A row of a worse rank only gives the true rank of the
    known answer. A name that occurs twice counts at its best rank.

    Args:
        predictions: rows of `PREDICTION_SCHEMA`.
        cases: the evaluated cases.
        top_k: length k of the lists.
        whole: the rows beyond the list give the rest of the catalogue, up to `MOST_LABELS`
            entries. `Outcomes.distribution` is set where the probabilities of each case sum to 1.
        systems: names of systems that were asked. One without a single row has missed every case.

    Raises:
        DataError: the predictions are unusable; see `validate_predictions`.
    """
    table = validate_predictions(predictions)
    row_of = {case_id: row for row, case_id in enumerate(cases.case_ids)}
    case = np.array([row_of.get(c, -1) for c in table["case_id"].to_pylist()], dtype=np.int64)
    system = np.array(table["system"].to_pylist(), dtype=object)
    rank = table["rank"].to_numpy().astype(np.int64)
    code = np.array(
        [cases.codes.get(label, _NO_ANSWER) for label in table["label_id"].to_pylist()],
        dtype=np.int64,
    )
    probability = table["probability"].to_numpy().astype(np.float64)
    text = np.array(table["text"].to_pylist(), dtype=object)
    outcomes = {}
    for name in sorted({*system.tolist(), *systems}):
        rows = np.flatnonzero((system == name) & (case >= 0))
        answers = _Answers(
            case=case[rows],
            rank=rank[rows],
            code=code[rows],
            probability=probability[rows],
            text=text[rows],
        )
        outcomes[name] = _outcomes_of(answers, cases, top_k, whole)
    return outcomes


@dataclass(frozen=True)
class _Answers:
    """Columns (m,) of the m prediction rows of one system."""

    case: Ints
    rank: Ints
    code: Ints
    probability: Floats
    """NaN where the system gives no probability."""
    text: NDArray[np.object_]

    @property
    def clipped_probability(self) -> Floats:
        """(m,) probabilities between 0 and 1; 0 where the system gives no probability."""
        return np.nan_to_num(self.probability, nan=0.0).clip(0.0, 1.0)


def _outcomes_of(answers: _Answers, cases: EvaluatedCases, top_k: int, whole: bool) -> Outcomes:
    rank = _known_ranks(answers, cases)
    has_probabilities = len(answers.case) > 0 and not bool(np.isnan(answers.probability).any())
    return Outcomes(
        rank=rank,
        probability=_known_probabilities(answers, cases, rank),
        confidence=_first_probabilities(answers, len(cases)),
        listed=_listed_ranks(answers, len(cases), top_k),
        codes=_listed_codes(answers, len(cases), top_k),
        lenient=_lenient_matches(answers, cases, top_k),
        has_probabilities=has_probabilities,
        distribution=_distribution(answers, cases) if whole and has_probabilities else None,
    )


def _known_ranks(answers: _Answers, cases: EvaluatedCases) -> Floats:
    """Return (n,) the best rank of the known answer, infinite for a miss."""
    ranks = np.full(len(cases), np.inf)
    is_known = answers.code == cases.known[answers.case]
    np.minimum.at(ranks, answers.case[is_known], answers.rank[is_known])
    return ranks


def _known_probabilities(answers: _Answers, cases: EvaluatedCases, known_ranks: Floats) -> Floats:
    """Return (n,) the probability of the known answer at its best rank, 0 for a miss."""
    probabilities = np.zeros(len(cases))
    is_known = answers.code == cases.known[answers.case]
    is_best = is_known & (answers.rank == known_ranks[answers.case])
    probabilities[answers.case[is_best]] = answers.clipped_probability[is_best]
    return probabilities


def _first_probabilities(answers: _Answers, n: int) -> Floats:
    """Return (n,) the probability of the first answer, 0 for a case without an answer."""
    probabilities = np.zeros(n)
    is_first = answers.rank == 1
    probabilities[answers.case[is_first]] = answers.clipped_probability[is_first]
    return probabilities


def _listed_ranks(answers: _Answers, n: int, top_k: int) -> Bools:
    """Return (n, k) whether the list has a name of this rank."""
    listed = np.zeros((n, top_k), dtype=np.bool_)
    inside = answers.rank <= top_k
    listed[answers.case[inside], answers.rank[inside] - 1] = True
    return listed


def _listed_codes(answers: _Answers, n: int, top_k: int) -> Ints:
    """Return (n, k) the catalogue code of the name of this rank, -1 where there is none."""
    codes = np.full((n, top_k), _NO_ANSWER, dtype=np.int64)
    inside = answers.rank <= top_k
    codes[answers.case[inside], answers.rank[inside] - 1] = answers.code[inside]
    return codes


def _lenient_matches(answers: _Answers, cases: EvaluatedCases, top_k: int) -> Bools:
    """Return (n, k) whether the name of this rank is similar to a name of the known answer."""
    lenient = np.zeros((len(cases), top_k), dtype=np.bool_)
    for row in np.flatnonzero(answers.rank <= top_k):
        case = answers.case[row]
        lenient[case, answers.rank[row] - 1] = names_match(
            answers.text[row], cases.known_names[case]
        )
    return lenient


def _distribution(answers: _Answers, cases: EvaluatedCases) -> Floats | None:
    """Return (n, n_labels) the probability of every answer.

    None where the catalogue is too large, or where the rows of a case do not sum to 1.
    """
    if cases.n_labels > MOST_LABELS:
        return None
    table = np.zeros((len(cases), cases.n_labels))
    inside = answers.code >= 0
    cells = answers.case[inside], answers.code[inside]
    np.maximum.at(table, cells, answers.clipped_probability[inside])
    answered = np.unique(answers.case)
    is_whole = bool(np.all(np.abs(table[answered].sum(axis=1) - 1) < _SUM_TOLERANCE))
    return table if is_whole else None
