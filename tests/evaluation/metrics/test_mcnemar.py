import numpy as np
import pytest
from scipy.stats import binomtest

from mint_ray.common.arrays import Bools
from mint_ray.evaluation.metrics.mcnemar import mcnemar

COUNTS = [(0, 0), (1, 0), (0, 6), (3, 9), (9, 3), (7, 7), (40, 22)]
BOTH, NEITHER = 5, 4


def answers(only_first: int, only_second: int) -> tuple[Bools, Bools]:
    """Whether each of two systems is right, by the cases that only one of them gets right."""
    counts = (BOTH, only_first, only_second, NEITHER)
    first = np.repeat([True, True, False, False], counts)
    return first, np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("only_first", "only_second"), COUNTS)
def test_the_p_value_is_that_of_the_binomial_test(only_first: int, only_second: int) -> None:
    first, second = answers(only_first, only_second)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    n = only_first + only_second
    expected = binomtest(only_first, n, 0.5).pvalue if n else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert mcnemar(second, first).p_value == found.p_value


@pytest.mark.parametrize(("only_first", "only_second"), COUNTS)
def test_the_p_value_is_that_of_statsmodels(only_first: int, only_second: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    theirs = tables.mcnemar([[BOTH, only_first], [only_second, NEITHER]], exact=True)
    found = mcnemar(*answers(only_first, only_second))
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
