from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.scores import (
    SCORES_SCHEMA,
    ScoredCases,
    answer_log_probabilities,
    probabilities,
)
from mint_ray.evaluation.fused.fit import _PenalisedLoss, fit_pool
from mint_ray.evaluation.fused.pool import (
    FILE,
    Experts,
    OpinionPool,
    experts_of,
    ranked_by,
    read_pool,
    write_pool,
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
    return Invented(cases, labels, answers, logps)


def fit(data: Invented) -> OpinionPool:
    return fit_pool(data.cases, data.labels, data.answers, {"knowledge": data.look_up})


def on(data: Invented) -> Experts:
    return experts_of(data.labels, data.cases.scores, [data.look_up])


@pytest.fixture(scope="module")
def pool() -> OpinionPool:
    return fit(invent(200, 0))


def test_a_fitted_pool_explains_other_cases_better_than_either_expert(pool: OpinionPool) -> None:
    data = invent(200, 1)
    rows = np.arange(200)
    logps = pool.log_probabilities(on(data))
    student = answer_log_probabilities(data.cases, pool.student_temperature)
    # Without the student's share of answers that its search did not reach.
    own = data.look_up[rows, data.answers]
    assert logps[rows, data.answers].mean() > max(student.mean(), own.mean()) + 0.5
    top1 = (logps.argmax(axis=1) == data.answers).mean()
    assert top1 > (data.look_up.argmax(axis=1) == data.answers).mean() + 0.2


def test_an_expert_that_knows_nothing_gets_no_weight() -> None:
    data = invent(200, 0)
    noise = np.random.default_rng(7).normal(scale=3, size=data.look_up.shape)
    data.look_up[:] = log_softmax(noise, axis=1)
    fitted = fit(data)
    assert fitted.weights[1] < 0.1 < fitted.weights[0]


def test_no_other_sharpness_explains_the_answers_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mint_ray.evaluation.fused.fit.CANDIDATES", 2)  # the fit sees few labels
    data = invent(200, 0)
    logps = fit(data).log_probabilities(on(data))

    def likelihood(scale: float) -> float:
        scaled = log_softmax(scale * logps, axis=1)
        return float(scaled[np.arange(200), data.answers].mean())

    assert likelihood(1) > max(likelihood(0.95), likelihood(1.05))


def test_the_gradient_is_that_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mint_ray.evaluation.fused.fit.CANDIDATES", 3)
    data = invent(20, 3)
    start = np.array([0.5, 0.5, -8.0, -8.0])
    loss = _PenalisedLoss(on(data), np.arange(20), data.answers, np.linspace(1, 2, 20), start)
    point = np.array([0.7, 1.2, -3.0, -2.0])
    _, gradient = loss(point)
    numeric = [(loss(point + step)[0] - loss(point - step)[0]) / 2e-5 for step in 1e-5 * np.eye(4)]
    assert gradient == pytest.approx(numeric, rel=1e-5)


def test_probabilities_sum_to_one_with_and_without_findings(pool: OpinionPool) -> None:
    data = invent(6, 2)
    data.look_up[::2] = np.nan
    logps = pool.log_probabilities(on(data))
    assert np.exp(logps).sum(axis=1) == pytest.approx(1)
    assert np.isfinite(logps[1::2]).all()  # also of names that the student's search did not reach


def test_a_case_without_findings_is_the_students_alone(pool: OpinionPool) -> None:
    data = invent(4, 2)
    data.look_up[1] = np.nan
    logps = pool.log_probabilities(on(data))
    order = np.argsort(-logps[1])[:BEAM]
    assert order.tolist() == data.labels[1].tolist()
    expected = probabilities(data.cases.scores[1], pool.student_temperature)
    assert np.exp(logps[1, order]) == pytest.approx(expected)
    unreached = np.setdiff1d(np.arange(N_LABELS), data.labels[1])
    assert np.isneginf(logps[1, unreached]).all()


def test_without_any_findings_both_weigh_the_same() -> None:
    data = invent(8, 3)
    data.look_up[:] = np.nan
    fitted = fit(data)
    assert (fitted.cases, fitted.informed) == (8, 0)
    assert fitted.weights == (0.5, 0.5)


def test_no_answer_in_the_catalogue_is_an_error() -> None:
    data = invent(3, 0)
    unknown = replace(data.cases, answers=(None,) * 3, answer_scores=(None,) * 3)
    with pytest.raises(DataError, match="catalogue"):
        fit(data._replace(cases=unknown, answers=np.full(3, -1)))


def test_a_pool_survives_its_file(pool: OpinionPool, tmp_path: Path) -> None:
    assert (read_pool(tmp_path), ranked_by(tmp_path)) == (None, "student")
    write_pool(tmp_path, pool)
    assert (read_pool(tmp_path), ranked_by(tmp_path)) == (pool, "fused")
    for damaged in ('{"format": 2}', '{"format": 1, "gate": {}}', "{"):
        (tmp_path / FILE).write_text(damaged)
        with pytest.raises(DataError, match=r"fused.json: expected a pool .* with --force"):
            read_pool(tmp_path)


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


def test_answers_are_ranked_by_the_pool(pool: OpinionPool) -> None:
    data = invent(60, 5)
    ids = [f"OMIM:{number:06d}" for number in range(N_LABELS)]
    catalogue = Catalogue(Label(i, f"disease {i}", (i,), (), ()) for i in ids)
    answers = catalogue.indices_of([ids[answer] for answer in data.answers])
    ranked = rank_fused(pool, table_of(data), [data.look_up], answers, catalogue, 3)
    logps = pool.log_probabilities(on(data))
    rows = ranked.to_pylist()
    for row, case_id in enumerate(data.cases.case_ids):
        of_case = [item for item in rows if item["case_id"] == case_id]
        known = next(i for i in of_case if i["label_id"] == catalogue.ids[answers[row]])
        mine = logps[row, answers[row]]
        assert known["rank"] == 1 + int((logps[row] > mine).sum())
        assert known["probability"] == pytest.approx(np.exp(mine))


def test_predictions_without_findings_are_the_students_own(pool: OpinionPool) -> None:
    data = invent(60, 5)
    data.look_up[:] = np.nan
    ids = [f"OMIM:{number:06d}" for number in range(N_LABELS)]
    catalogue = Catalogue(Label(i, f"disease {i}", (i,), (), ()) for i in ids)
    answers = catalogue.indices_of([ids[answer] for answer in data.answers])
    ranked = rank_fused(pool, table_of(data), [data.look_up], answers, catalogue, 3).to_pylist()
    student = np.exp(answer_log_probabilities(data.cases, pool.student_temperature))
    for row, case_id in enumerate(data.cases.case_ids):
        of_case = [item for item in ranked if item["case_id"] == case_id]
        assert [item["rank"] for item in of_case[:3]] == [1, 2, 3]
        scored = probabilities(data.cases.scores[row], pool.student_temperature)
        assert [item["probability"] for item in of_case[:3]] == pytest.approx(scored[:3])
        known = next(i for i in of_case if i["label_id"] == catalogue.ids[answers[row]])
        assert known["probability"] == pytest.approx(student[row])
        assert known["rank"] == (data.cases.answers[row] or 0) + 1
    assert not data.cases.reached.all()
