"""The bounded search for a temperature."""

import math

import pytest

from mint_ray.common.probabilities.temperature import search_temperature


@pytest.mark.parametrize("best", [0.2, 1.0, 7.0])
def test_the_minimum_is_found_and_is_a_temperature(best: float) -> None:
    found = search_temperature(lambda t: (math.log(t) - math.log(best)) ** 2, (-3.0, 3.0))
    assert found == pytest.approx(best, rel=1e-4)


def test_it_stays_within_its_bounds() -> None:
    assert search_temperature(lambda t: t, (-1.0, 3.0)) == pytest.approx(math.exp(-1), rel=1e-3)
