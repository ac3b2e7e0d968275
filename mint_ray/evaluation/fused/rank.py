"""Predictions of a mixture for cases that the student has scored."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.evaluation.calibration.scores import answer_log_probabilities, scored_cases
from mint_ray.evaluation.fused.mixture import Mixture, mix
from mint_ray.evaluation.predictions import rank_scores
from mint_ray.knowledge.catalogue import Catalogue


def rank_fused(
    mixture: Mixture,
    scores: pa.Table,
    look_ups: Sequence[Floats32],
    n_findings: Ints,
    answers: Ints,
    catalogue: Catalogue,
    top_k: int,
) -> pa.Table:
    """Return the predictions of the system `fused`.

    A known answer that the student's search did not reach is ranked by the look-ups alone, as any
    other such name. Its probability alone has the student's share of `answer_log_probability`, so
    that it can be compared with the student's own.

    Args:
        mixture: fitted.
        scores: rows of `SCORES_SCHEMA` with the column `labels`, of n usable cases.
        look_ups: of each look-up (n, n_labels) log-probabilities; NaN rows without findings.
        n_findings: (n,) findings of the notes.
        answers: (n,) catalogue index of each known answer, −1 where the catalogue lacks it.
        catalogue: the labels.
        top_k: number of labels to list.

    Returns:
        Rows of `PREDICTION_SCHEMA`.
    """
    cases = scored_cases(scores)
    labels = [np.array(item, dtype=np.int64) for item in scores["labels"].to_pylist()]
    experts = mixture.experts(labels, cases.scores, look_ups, n_findings)
    log_weights = mixture.log_weights(experts)
    mixed = mix(log_weights, experts)
    table = rank_scores(
        "fused",
        cases.case_ids,
        mixed,
        catalogue.ids,
        catalogue.names,
        [None if answer < 0 else int(answer) for answer in answers],
        top_k,
    )
    own = answer_log_probabilities(cases, mixture.student_temperature) + log_weights[:, 0]
    unreached = np.flatnonzero(cases.answerable & ~cases.reached)
    whole = np.logaddexp(mixed[unreached, answers[unreached]], own[unreached])
    return _with_answers(table, _known_rows(cases.case_ids, catalogue, answers, unreached), whole)


def _known_rows(
    case_ids: Sequence[str], catalogue: Catalogue, answers: Ints, rows: Ints
) -> list[tuple[str, str]]:
    """Return (case, label) of some cases' known answers."""
    return [(case_ids[row], catalogue.ids[answers[row]]) for row in rows.tolist()]


def _with_answers(
    table: pa.Table, known: Sequence[tuple[str, str]], log_probabilities: Floats
) -> pa.Table:
    """Return the predictions with other probabilities of some known answers."""
    changed = dict(zip(known, np.exp(log_probabilities).tolist(), strict=True))
    keys = zip(table["case_id"].to_pylist(), table["label_id"].to_pylist(), strict=True)
    old = table["probability"].to_pylist()
    values = [changed.get(key, value) for key, value in zip(keys, old, strict=True)]
    index = table.schema.get_field_index("probability")
    return table.set_column(index, table.schema.field(index), pa.array(values, pa.float64()))
