"""Axes: places of values."""

import math

import pytest

from mint_ray.reports.axes import Scale, is_number


def test_values_lie_between_the_ends_upwards_too() -> None:
    up = Scale(1.0, 3.0, start=100, end=20)
    assert [up.at(value) for value in (1.0, 2.0, 3.0)] == [100, 60, 20]


def test_each_power_is_as_far_from_the_last_on_a_logarithmic_axis() -> None:
    across = Scale(0.001, 1.0, start=0, end=30, log=True)
    assert [across.at(10.0**power) for power in (-3, -2, -1, 0)] == pytest.approx([0, 10, 20, 30])


def test_a_range_of_one_value_is_in_the_middle() -> None:
    assert Scale(2.0, 2.0, start=0, end=10).at(2.0) == 5


def test_nothing_is_drawn_of_what_is_no_number() -> None:
    found = [is_number(value) for value in (0.0, None, math.nan, math.inf)]
    assert found == [True, False, False, False]
