from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.scores import (
    SCORES_SCHEMA,
    ScoredCases,
    answer_log_probabilities,
)
from mint_ray.evaluation.fused.fit import fit_mixture
from mint_ray.evaluation.fused.mixture import (
    FILE,
    Experts,
    Mixture,
    ranked_by,
    read_mixture,
    tempered,
    write_mixture,
)
from mint_ray.evaluation.fused.rank import rank_fused
from mint_ray.knowledge.catalogue import Catalogue, Label

N_LABELS, BEAM = 12, 5


class Invented(NamedTuple):
    """Cases of which the student knows the first half and the look-up the second.

    Each is sure of the cases that it knows, as a model that was taught some of the labels is.
    """

    cases: ScoredCases
    labels: list[Ints]
    answers: Ints
    look_up: Floats32
    n_findings: Ints


def invent(n: int, seed: int) -> Invented:
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, N_LABELS, n)
    student, look_up = rng.normal(size=(2, n, N_LABELS))
    knows = np.arange(n) < n // 2
    student[knows, answers[knows]] += 6
    look_up[~knows, answers[~knows]] += 6
    # Sometimes wrong.
    student[::10, 0] += 8
    labels, scores, positions, own = [], [], [], []
    for row in range(n):
        best = np.argsort(-student[row])[:BEAM]
        labels.append(best)
        scores.append(student[row, best])
        hit = np.flatnonzero(best == answers[row])
        positions.append(int(hit[0]) if len(hit) else N_LABELS - 1)
        own.append(float(student[row, answers[row]]))
    ids = tuple(f"c{row}" for row in range(n))
    cases = ScoredCases(ids, np.arange(n) // 2, tuple(scores), tuple(positions), tuple(own))
    logps = log_softmax(look_up, axis=1).astype(np.float32)
    return Invented(cases, labels, answers, logps, rng.integers(1, 9, n))


def fit(data: Invented) -> Mixture:
    return fit_mixture(
        data.cases, data.labels, data.answers, {"knowledge": data.look_up}, data.n_findings
    )


def experts_of(mixture: Mixture, data: Invented) -> Experts:
    return mixture.experts(data.labels, data.cases.scores, [data.look_up], data.n_findings)


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    return fit(invent(200, 0))


def test_a_fitted_gate_explains_other_cases_better_than_either_expert(mixture: Mixture) -> None:
    data = invent(200, 1)
    rows = np.arange(200)
    logps = mixture.log_probabilities(experts_of(mixture, data))
    student = answer_log_probabilities(data.cases, mixture.student_temperature)
    look_up = tempered(data.look_up, mixture.temperatures[0])[rows, data.answers]
    # Without the student's share of answers that its search did not reach.
    assert logps[rows, data.answers].mean() > max(student.mean(), look_up.mean()) + 0.5
    top1 = (logps.argmax(axis=1) == data.answers).mean()
    assert top1 > (data.look_up.argmax(axis=1) == data.answers).mean() + 0.2


def test_the_gate_prefers_the_expert_that_knows(mixture: Mixture) -> None:
    weights = np.exp(mixture.log_weights(experts_of(mixture, invent(200, 1))))
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[:100, 0].mean() > 0.7
    assert weights[100:, 0].mean() < 0.3


def test_probabilities_sum_to_one_with_and_without_findings(mixture: Mixture) -> None:
    data = invent(6, 2)
    data.look_up[::2] = np.nan
    logps = mixture.log_probabilities(experts_of(mixture, data))
    assert np.exp(logps).sum(axis=1) == pytest.approx(1)


def test_a_case_without_findings_is_the_students_alone(mixture: Mixture) -> None:
    data = invent(4, 2)
    data.look_up[1] = np.nan
    experts = experts_of(mixture, data)
    logps = mixture.log_probabilities(experts)
    assert logps[1].tolist() == experts.student[1].tolist()
    assert np.isneginf(logps[1]).sum() == N_LABELS - BEAM
    assert np.isfinite(logps[0]).all()


def test_without_any_findings_the_student_alone_is_fitted() -> None:
    data = invent(8, 3)
    data.look_up[:] = np.nan
    mixture = fit(data)
    assert (mixture.cases, mixture.informed) == (8, 0)
    # Experts count alike where nothing tells them apart.
    weights = np.exp(mixture.log_weights(experts_of(mixture, invent(2, 4))))
    assert weights == pytest.approx(np.full((2, 2), 0.5))


def test_no_answer_in_the_catalogue_is_an_error() -> None:
    data = invent(3, 0)
    unknown = replace(data.cases, answers=(None,) * 3, answer_scores=(None,) * 3)
    with pytest.raises(DataError, match="catalogue"):
        fit(data._replace(cases=unknown, answers=np.full(3, -1)))


def test_a_mixture_survives_its_file(mixture: Mixture, tmp_path: Path) -> None:
    assert (read_mixture(tmp_path), ranked_by(tmp_path)) == (None, "student")
    write_mixture(tmp_path, mixture)
    assert ranked_by(tmp_path) == "fused"
    read = read_mixture(tmp_path)
    assert read is not None
    experts = experts_of(mixture, invent(5, 1))
    expected = mixture.log_probabilities(experts)
    assert read.log_probabilities(experts) == pytest.approx(expected, rel=1e-5)
    (tmp_path / FILE).write_text('{"format": 1}')
    with pytest.raises(DataError, match="fused"):
        read_mixture(tmp_path)


def table_of(data: Invented) -> pa.Table:
    rows = [
        {
            "case_id": case_id,
            "group_id": case_id,
            "scores": scores.tolist(),
            "answer_rank": answer + 1,
            "answer_score": own,
        }
        for case_id, scores, answer, own in zip(
            data.cases.case_ids,
            data.cases.scores,
            [a or 0 for a in data.cases.answers],
            data.cases.answer_scores,
            strict=True,
        )
    ]
    labels = pa.array([item.tolist() for item in data.labels], pa.list_(pa.int32()))
    return pa.Table.from_pylist(rows, SCORES_SCHEMA).append_column("labels", labels)


def test_the_rank_of_an_answer_does_not_depend_on_who_knows_it(mixture: Mixture) -> None:
    """An unreached answer gets its own probability, but no rank from it."""
    data = invent(60, 5)
    ids = [f"OMIM:{number:06d}" for number in range(N_LABELS)]
    catalogue = Catalogue(Label(i, f"disease {i}", (i,), (), ()) for i in ids)
    answers = catalogue.indices_of([ids[answer] for answer in data.answers])
    ranked = rank_fused(
        mixture, table_of(data), [data.look_up], data.n_findings, answers, catalogue, 3
    )
    logps: Floats = mixture.log_probabilities(experts_of(mixture, data))
    rows = ranked.to_pylist()
    unreached = 0
    for row, case_id in enumerate(data.cases.case_ids):
        of_case = [item for item in rows if item["case_id"] == case_id]
        known = next(i for i in of_case if i["label_id"] == catalogue.ids[answers[row]])
        mine = logps[row, answers[row]]
        assert known["rank"] == 1 + int((logps[row] > mine).sum())
        reached = answers[row] in data.labels[row]
        unreached += not reached
        assert (
            known["probability"] == pytest.approx(np.exp(mine))
            if reached
            else (known["probability"] > np.exp(mine))
        )
    assert unreached > 5
