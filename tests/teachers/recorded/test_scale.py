"""From recorded scores to log-probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mint_ray.common.partial_answers import is_answered
from mint_ray.teachers.recorded.scale import Scale, fit_scale
from mint_ray.teachers.recorded.table import RecordedScores

N_LABELS = 40
SCORES = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda score: round(score, 6))


@settings(deadline=None)
@given(
    scores=st.integers(1, N_LABELS).flatmap(lambda n: arrays(np.float64, n, elements=SCORES)),
    temperature=st.floats(1e-3, 1e3),
    unanswered=st.floats(0.001, 0.9),
)
def test_order_survives_any_scale(
    scores: np.ndarray, temperature: float, unanswered: float
) -> None:
    scale = Scale(temperature, unanswered, N_LABELS)
    labels = np.arange(len(scores), dtype=np.int32)[::-1]
    row = scale.log_probabilities(labels, scores)
    assert row.dtype == np.float32
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-3)
    answered = is_answered(row, scale.floor)
    assert answered.sum() == len(scores)
    assert answered[labels].all()
    higher = scores[:, None] > scores
    assert ((row[labels][:, None] > row[labels]) == higher).all()


def recorded(n_cases: int, reached: int) -> tuple[RecordedScores, list[str], np.ndarray]:
    """Cases whose answer, where it is reached, has the best of five scores four times in five."""
    rng = np.random.default_rng(0)
    lists, answers = [], []
    for case in range(n_cases):
        labels = rng.permutation(N_LABELS)[:6]
        best = int(rng.random() > 0.8)
        lists.append((f"case-{case}", labels[:5].tolist(), [3.0, 1.0, 1.0, 1.0, 1.0]))
        answers.append(labels[best] if case < reached else labels[5])
    return RecordedScores.of_lists(lists), [name for name, _, _ in lists], np.array(answers)


def test_the_scale_says_how_sure_the_scores_are() -> None:
    table, case_ids, answers = recorded(300, 225)
    scale, loss = fit_scale(table, case_ids, answers, N_LABELS)
    assert scale.unanswered == pytest.approx(76 / 302)
    shares = np.exp(scale.log_probabilities(*table.of("case-0")))
    assert shares.max() / (1 - scale.unanswered) == pytest.approx(0.8, abs=0.06)
    assert 0.5 < loss < 1.1


def test_a_scale_without_validation_cases_is_usable() -> None:
    table, _, _ = recorded(10, 10)
    scale, loss = fit_scale(table, [], np.zeros(0, dtype=np.int64), N_LABELS)
    assert loss == 0.0
    assert np.isfinite(scale.log_probabilities(*table.of("case-3"))).all()


def test_a_label_that_is_there_twice_keeps_its_best_score() -> None:
    cases, labels = np.array([1, 0, 1, 1]), np.array([7, 7, 7, 2])
    table = RecordedScores.of_rows(["a", "b", "c"], cases, labels, np.array([0.1, 0.2, 0.9, 0.5]))
    assert [part.tolist() for part in table.of("b")] == [[2, 7], [0.5, 0.9]]
    assert [part.tolist() for part in table.of("a")] == [[7], [0.2]]
    assert "c" not in table
