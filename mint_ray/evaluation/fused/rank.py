"""Predictions of a pool for cases that the student has scored."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.evaluation.calibration.scores import scored_cases
from mint_ray.evaluation.fused.pool import OpinionPool, experts_of
from mint_ray.evaluation.predictions import rank_scores
from mint_ray.knowledge.catalogue import Catalogue


def rank_fused(
    pool: OpinionPool,
    scores: pa.Table,
    look_ups: Sequence[Floats32],
    answers: Ints,
    catalogue: Catalogue,
    top_k: int,
) -> pa.Table:
    """Return the predictions of the system `fused`.

    A known answer that the student's search did not reach is ranked like any other such name.

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
    return rank_scores(
        "fused",
        cases.case_ids,
        pool.log_probabilities(experts_of(labels, cases.scores, look_ups)),
        catalogue.ids,
        catalogue.names,
        [None if answer < 0 else int(answer) for answer in answers],
        top_k,
    )
