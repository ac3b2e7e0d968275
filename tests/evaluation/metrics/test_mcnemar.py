import numpy as np
import pytest
from scipy.stats import binomtest

from mint_ray.evaluation.metrics.mcnemar import mcnemar


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 0), (1, 0), (0, 6), (3, 9), (9, 3), (7, 7), (40, 22)]
)
def test_the_p_value_is_that_of_the_binomial_test(only_first: int, only_second: int) -> None:
    both, neither = 5, 4
    counts = (both, only_first, only_second, neither)
    first = np.repeat([True, True, False, False], counts)
    second = np.repeat([True, False, True, False], counts)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    n = only_first + only_second
    expected = binomtest(only_first, n, 0.5).pvalue if n else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert mcnemar(second, first).p_value == found.p_value
