"""Rankings of a case's names, and the scores behind them; no model is needed for either."""

import math
from dataclasses import dataclass

from mint_ray.common.arrays import Floats, Ints
from mint_ray.evaluation.calibration.scores import answer_log_probability, probabilities


@dataclass(frozen=True)
class Ranking:
    """The ranking of one case: distinct names, best first, as positions in the catalogue.

    `answer_rank` (from 1) and `answer_probability` belong to the known answer; they are None where
    no answer was given. If the beam did not reach the known answer, it is scored separately and
    gets the worst rank of the catalogue, because its true rank is unknown; its probability is that
    of `answer_log_probability`. Probabilities of the other names are not renormalised for it, so
    they equal those of an unlabelled case.
    """

    labels: tuple[int, ...]
    probabilities: tuple[float, ...]
    scored: tuple[float, ...]
    """Probabilities of all names that were scored, best first; the listed ones are the first."""
    answer_rank: int | None
    answer_probability: float | None
    shortened: bool


@dataclass(frozen=True)
class Scores:
    """Scores of one case's names, in the order of their ranks.

    `labels` (m,) are positions in the catalogue, `values` (m,) summed log-probabilities (of a
    pool, its log-probabilities), `answer_rank` as in `Ranking`.
    """

    labels: Ints
    values: Floats
    answer_rank: int | None
    scored_separately: bool
    """True for a known answer that the search did not reach; it then stands last."""
    shortened: bool

    @property
    def own(self) -> Floats:
        """Values (m,) of the search; (m - 1,) without that of an answer scored separately."""
        return self.values[:-1] if self.scored_separately else self.values

    @property
    def answer_score(self) -> float | None:
        """Value of the known answer, scored separately or not; None without a known answer."""
        if self.answer_rank is None:
            return None
        return float(self.values[-1 if self.scored_separately else self.answer_rank - 1])


def ranking_of(scores: Scores, listed: int, temperature: float) -> Ranking:
    """Return the ranking of a case with these scores.

    Args:
        scores: of the names.
        listed: most names in the ranking.
        temperature: by which scores are divided before they become probabilities.
    """
    scored = tuple(probabilities(scores.own, temperature).tolist())
    answer_probability = None
    if scores.answer_score is not None:
        log_probability = answer_log_probability(
            scores.own, scores.answer_score, temperature, reached=not scores.scored_separately
        )
        answer_probability = math.exp(log_probability)
    labels = scores.labels[: min(listed, len(scored))]
    return Ranking(
        tuple(labels.tolist()),
        scored[: len(labels)],
        scored,
        scores.answer_rank,
        answer_probability,
        scores.shortened,
    )
