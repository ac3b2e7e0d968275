"""Scores of catalogue names for many cases, and their probabilities at a temperature.

The score of a name is its summed log-probability. Probabilities are the softmax of the scores
divided by a temperature, over the names that the search scored. A known answer that the search did
not reach is scored separately; see `answer_log_probability`. A temperature does not change a
ranking.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import softmax

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.common.probabilities.temperature import confidence_temperature
from mint_ray.errors import DataError
from mint_ray.evaluation.outcomes import PROBABILITY_FLOOR

SCORES_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("scores", pa.list_(pa.float64()), nullable=False),  # best first
        # Rank of the known answer, from 1. Where the search did not reach it, it is the size of the
        # catalogue, which is greater than the number of scores. Null where the catalogue lacks it.
        pa.field("answer_rank", pa.int32()),
        # Score of the known answer, scored separately where the search did not reach it. Null where
        # the catalogue lacks it.
        pa.field("answer_score", pa.float64()),
        pa.field("reason", pa.string()),  # why the input is unusable; null for a usable one
    ]
)

LOG_TEMPERATURE = (-3.0, 3.0)
"""Range of the temperature's natural logarithm; without wrong answers the best one would be 0."""


@dataclass(frozen=True)
class ScoredCases:
    """Scores and known answers of n cases."""

    case_ids: tuple[str, ...]
    groups: Ints
    """(n,) code of the case's group."""
    scores: tuple[Floats, ...]
    """(m_i,) of each case, best first, where m_i names were scored."""
    answers: tuple[int | None, ...]
    """Position of the known answer among the scores; m_i or more where the search did not reach
    it, None where the catalogue lacks it."""
    answer_scores: tuple[float | None, ...]
    """Score of the known answer, whether the search reached it or not; None where the catalogue
    lacks it."""

    def __len__(self) -> int:
        return len(self.case_ids)

    @property
    def answerable(self) -> Bools:
        """(n,) whether the catalogue has the known answer."""
        return np.array([answer is not None for answer in self.answers], dtype=np.bool_)

    @property
    def reached(self) -> Bools:
        """(n,) whether the known answer is among the names that were scored."""
        pairs = zip(self.scores, self.answers, strict=True)
        return np.array([a is not None and a < len(s) for s, a in pairs], dtype=np.bool_)


def scored_cases(table: pa.Table) -> ScoredCases:
    """Read rows of `SCORES_SCHEMA`; leave out cases whose input the student cannot read.

    Raises:
        DataError: no case is left.
    """
    rows = [row for row in table.to_pylist() if row["reason"] is None]
    if not rows:
        raise DataError(
            "expected cases with a note or image that the student can read, found none of "
            f"{table.num_rows}; see the column `reason` of the scores"
        )
    _, groups = np.unique(np.array([row["group_id"] for row in rows]), return_inverse=True)
    return ScoredCases(
        tuple(row["case_id"] for row in rows),
        groups.astype(np.int64),
        tuple(np.array(row["scores"], dtype=np.float64) for row in rows),
        tuple(None if row["answer_rank"] is None else row["answer_rank"] - 1 for row in rows),
        tuple(row["answer_score"] for row in rows),
    )


def probabilities(scores: Floats, temperature: float) -> Floats:
    """Return the (m,) softmax of `scores / temperature`."""
    softmaxed: Floats = softmax(scores / temperature)
    return softmaxed


def answer_log_probability(
    scores: Floats, answer_score: float, temperature: float, *, reached: bool
) -> float:
    """Return the log-probability of a known answer, in nats, whether the search reached it or not.

    It is log (exp(a / T) / Σ exp(s / T)) with the answer's score a and the temperature T. The sum
    is over the scored names, and also over the answer itself where the search did not reach it:
    else an answer that scores higher than all names of a narrow beam had a probability above 1.
    With or without the answer in the sum, it is an upper bound of the probability under a search
    that scores the whole catalogue. The probabilities of the other names do not change, so they
    are those of a case whose answer is unknown.

    Args:
        scores: (m,) of the names that the search scored.
        answer_score: of the known answer.
        temperature: by which the scores are divided.
        reached: whether the known answer is one of the m names.
    """
    terms = (scores if reached else np.append(scores, answer_score)) / temperature
    highest = terms.max()  # keeps the exponentials finite
    return float(answer_score / temperature - highest - np.log(np.exp(terms - highest).sum()))


def answer_log_probabilities(cases: ScoredCases, temperature: float) -> Floats:
    """Return (n,) the log-probability of each known answer, in nats.

    It is −∞ where the catalogue lacks the answer.
    """
    return np.array(
        [
            -math.inf
            if answer_score is None
            else answer_log_probability(scores, answer_score, temperature, reached=bool(reached))
            for scores, answer_score, reached in zip(
                cases.scores, cases.answer_scores, cases.reached, strict=True
            )
        ]
    )


def fit_confidence(cases: ScoredCases) -> float:
    """Fit the temperature at which the best name's probability tells best whether it is right.

    The loss is the mean negative log-likelihood of that outcome, over all cases: the best name is
    wrong for an answer that the catalogue lacks or that the search did not reach, too. A fit to the
    likelihood of the known answers (Guo et al., "On Calibration of Modern Neural Networks", 2017)
    would be ruled by answers that are not reached: it flattens all probabilities to make those few
    less unlikely, and the best name's is then far below its accuracy.

    Raises:
        DataError: there is no case whose known answer is in the catalogue.
    """
    _check_answerable(cases)
    right = np.array([answer == 0 for answer in cases.answers], dtype=np.bool_)
    return confidence_temperature(cases.scores, right, LOG_TEMPERATURE)


def case_values(cases: ScoredCases, temperature: float) -> Mapping[str, Floats]:
    """Return the metrics that are means over cases, (n,) each; see `results.METRICS`."""
    ranks = np.array([math.inf if a is None else a + 1.0 for a in cases.answers])
    log_probabilities = answer_log_probabilities(cases, temperature)
    return {
        "top1": (ranks <= 1).astype(np.float64),
        "top3": (ranks <= 3).astype(np.float64),
        "top10": (ranks <= 10).astype(np.float64),
        "mrr": 1.0 / ranks,
        "nll": -np.maximum(log_probabilities, math.log(PROBABILITY_FLOOR)),
    }


def _check_answerable(cases: ScoredCases) -> None:
    if not cases.answerable.any():
        raise DataError(
            "a temperature needs cases whose answer is in the catalogue, found none of "
            f"{len(cases)}; check that the catalogue has the labels of the validation cases"
        )
