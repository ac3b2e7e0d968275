import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mint_ray.evaluation.metrics.auroc import auroc, auroc_blocks
from mint_ray.evaluation.metrics.bootstrap import macro_weights, resample_blocks

RNG = np.random.default_rng(3)
CONFIDENCE = np.round(RNG.random(200), 1)  # with ties
CORRECT = RNG.random(200) < CONFIDENCE
GROUPS = RNG.integers(0, 60, 200)


@pytest.mark.parametrize("macro", [False, True])
def test_auroc_is_scikit_learn_s(macro: bool) -> None:
    weights = macro_weights(GROUPS) if macro else None
    blocks = auroc_blocks(CONFIDENCE, CORRECT, weights)
    found = auroc(resample_blocks(blocks, GROUPS, 10, 0, weights))[0]
    assert found == pytest.approx(roc_auc_score(CORRECT, CONFIDENCE, sample_weight=weights))


def test_resamples_spread_like_those_that_are_measured_anew() -> None:
    sums = resample_blocks(auroc_blocks(CONFIDENCE, CORRECT), GROUPS, 400, 0)
    of_group = [np.flatnonzero(group == GROUPS) for group in np.unique(GROUPS)]
    anew = []
    for _ in range(400):
        drawn = RNG.integers(0, len(of_group), len(of_group))
        cases = np.concatenate([of_group[number] for number in drawn])
        anew.append(roc_auc_score(CORRECT[cases], CONFIDENCE[cases]))
    assert np.std(auroc(sums)[1:]) == pytest.approx(np.std(anew), rel=0.15)


def test_there_is_none_where_all_are_right_or_wrong() -> None:
    confidence = np.array([0.4, 0.9])
    assert auroc_blocks(confidence, np.array([True, True])) == {}
    assert auroc_blocks(confidence, np.array([False, False])) == {}
    assert auroc_blocks(np.zeros(0), np.zeros(0, dtype=np.bool_)) == {}
    # The only wrong answer is missing in some resamples.
    blocks = auroc_blocks(np.array([0.9, 0.5, 0.8]), np.array([True, False, True]))
    assert auroc(resample_blocks(blocks, np.arange(3), 50, 0)).tolist() == [1.0] * 51
