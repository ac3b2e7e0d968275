import pytest

from mint_ray.tuning.stopping import judge, rung_shares
from tests.tuning.campaigns import config


@pytest.mark.parametrize(
    ("value", "others", "stops"),
    [
        (0.1, [], False),  # the first at a rung goes on
        (0.1, [0.2], True),
        (0.3, [0.2], False),
        (0.2, [0.2], False),  # as good as the best
        (0.2, [0.1, 0.3, 0.05, 0.06], True),  # one of five may go on
        (0.2, [0.1, 0.3, 0.05, 0.06, 0.07], False),  # two of six may
        (float("-inf"), [0.1], True),
    ],
)
def test_successive_halving(value: float, others: list[float], stops: bool) -> None:
    assert judge(config().tune, value, others).stop is stops


@pytest.mark.parametrize(
    ("value", "others", "stops"),
    [
        (0.1, [0.2, 0.3], False),  # too few to tell
        (0.1, [0.2, 0.3, 0.4], True),
        (0.3, [0.2, 0.3, 0.4], False),
    ],
)
def test_median_stopping(value: float, others: list[float], stops: bool) -> None:
    assert judge(config(scheduler="median").tune, value, others).stop is stops


def test_nothing_is_stopped_where_that_was_asked_for() -> None:
    assert not judge(config(scheduler="none").tune, 0.0, [1.0] * 9).stop


def test_rungs() -> None:
    assert rung_shares(config().tune) == pytest.approx([1 / 9, 1 / 3])
    assert rung_shares(config(first_rung=1.0).tune) == []
