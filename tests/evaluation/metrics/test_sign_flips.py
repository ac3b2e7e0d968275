import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_ray.evaluation.metrics.sign_flips import sign_flip_p_value


@given(st.integers(1, 9), st.integers(0, 2**16))
def test_a_few_groups_cannot_prove_much(n_groups: int, seed: int) -> None:
    groups = np.repeat(np.arange(n_groups), 3)
    gaps = np.random.default_rng(seed).uniform(0.1, 1.0, len(groups))
    assert sign_flip_p_value(gaps, groups, seed) == pytest.approx(0.5**n_groups)
    assert sign_flip_p_value(-gaps, groups, seed) == pytest.approx(1.0)


def test_equally_good_students_are_told_apart_as_rarely_as_stated() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 4)
    shared = rng.normal(size=(400, 8))  # what the cases of a group have in common
    found = [
        sign_flip_p_value(np.repeat(row, 4) + rng.normal(size=32), groups, 0) for row in shared
    ]
    assert np.mean(np.array(found) <= 0.025) < 0.05
    assert np.mean(np.array(found) <= 0.5) == pytest.approx(0.5, abs=0.08)
