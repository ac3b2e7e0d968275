import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.students.objectives.odds import ODDS_CLAMP, log1mexp, log_odds

MEANS = st.floats(-1e4, 0.0)


@pytest.mark.parametrize("x", [-1e4, -50.0, -1.0, -math.log(2), -0.1, -1e-3, -1e-5])
def test_log1mexp_equals_the_exact_value(x: float) -> None:
    exact = math.log(-math.expm1(x)) if x > -1 else math.log1p(-math.exp(x))
    assert float(log1mexp(torch.tensor(x, dtype=torch.float64))) == pytest.approx(exact, rel=1e-12)


def test_log1mexp_is_clamped_at_zero() -> None:
    assert float(log1mexp(torch.tensor(0.0))) == pytest.approx(math.log(ODDS_CLAMP), rel=1e-3)


@given(MEANS)
@settings(max_examples=300, deadline=None)
def test_float32_equals_float64(mean: float) -> None:
    single = torch.tensor(mean, dtype=torch.float32, requires_grad=True)
    double = single.detach().double().requires_grad_()
    for value in (single, double):
        log_odds(value).backward()
    assert float(log_odds(single.detach())) == pytest.approx(
        float(log_odds(double.detach())), rel=1e-6, abs=2e-7
    )
    # Either side of the clamp the gradient is that of the value, or of the value alone.
    if abs(float(single.detach()) + ODDS_CLAMP) > 1e-12:
        assert float(single.grad) == pytest.approx(float(double.grad), rel=1e-5)


def test_half_precision_is_widened() -> None:
    assert log_odds(torch.tensor([-1.0], dtype=torch.bfloat16)).dtype == torch.float32
