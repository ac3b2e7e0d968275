"""Predictions of a pool for cases that the student has scored."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.evaluation.calibration.scores import (
    ScoredCases,
    answer_log_probability,
    probabilities,
    scored_cases,
)
from mint_ray.evaluation.fused.pool import OpinionPool, experts_of
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA, rank_scores
from mint_ray.knowledge.catalogue import Catalogue

_SYSTEM = "fused"


def rank_fused(
    pool: OpinionPool,
    scores: pa.Table,
    look_ups: Sequence[Floats32],
    answers: Ints,
    catalogue: Catalogue,
    top_k: int,
) -> pa.Table:
    """Return the predictions of the system `fused`.

    A known answer that the student's search did not reach is ranked like any other such name. A
    case without findings has the student's own ranking, in which such an answer is the last.

    Args:
        pool: fitted.
        scores: rows of `SCORES_SCHEMA` with the column `labels`, of n usable cases.
        look_ups: of each look-up (n, n_labels) log-probabilities; NaN rows without findings.
        answers: (n,) catalogue index of each known answer, −1 where the catalogue lacks it.
        catalogue: the labels.
        top_k: number of labels to list.

    Returns:
        Rows of `PREDICTION_SCHEMA`.
    """
    cases = scored_cases(scores)
    labels = [np.array(item, dtype=np.int64) for item in scores["labels"].to_pylist()]
    experts = experts_of(labels, cases.scores, look_ups)
    log_probabilities = pool.log_probabilities(experts)
    log_probabilities[~experts.informed] = np.nan  # not ranked by this
    pooled = rank_scores(
        _SYSTEM,
        cases.case_ids,
        log_probabilities,
        catalogue.ids,
        catalogue.names,
        [None if answer < 0 else int(answer) for answer in answers],
        top_k,
    )
    alone = [
        row
        for number in np.flatnonzero(~experts.informed)
        for row in _alone(pool, cases, int(number), labels[number], answers, catalogue, top_k)
    ]
    return pa.concat_tables([pooled, pa.Table.from_pylist(alone, PREDICTION_SCHEMA)])


def _alone(
    pool: OpinionPool,
    cases: ScoredCases,
    number: int,
    labels: Ints,
    answers: Ints,
    catalogue: Catalogue,
    top_k: int,
) -> Iterator[dict[str, Any]]:
    """Yield the predictions of a case that the student judges alone, as `FusedRanker` does."""
    scores, temperature = cases.scores[number], pool.student_temperature
    listed = probabilities(scores, temperature)[:top_k].tolist()
    ranked = [*zip(range(1, len(listed) + 1), labels, listed, strict=False)]
    place, own = cases.answers[number], cases.answer_scores[number]
    if place is not None and own is not None and place >= len(listed):
        reached = bool(cases.reached[number])
        logp = answer_log_probability(scores, own, temperature, reached=reached)
        ranked.append((max(place, len(listed)) + 1, answers[number], math.exp(logp)))
    for rank, label, probability in ranked:
        yield {
            "case_id": cases.case_ids[number],
            "system": _SYSTEM,
            "rank": rank,
            "label_id": catalogue.ids[label],
            "text": catalogue.names[label],
            "probability": probability,
        }
