import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.students.objectives import ODDS_CLAMP, Logps, log1mexp, log_odds, orpo

MEANS = st.floats(-1e4, 0.0)


def logps_of(chosen: torch.Tensor, rejected: torch.Tensor) -> Logps:
    """One-token answers, so that sums are means."""
    sums = torch.stack([chosen, rejected], dim=1)
    none = torch.zeros(len(chosen))
    return Logps(sums, torch.ones_like(sums), none, none)


@pytest.mark.parametrize("x", [-1e4, -50.0, -1.0, -math.log(2), -0.1, -1e-3, -1e-5])
def test_log1mexp_equals_the_exact_value(x: float) -> None:
    exact = math.log(-math.expm1(x)) if x > -1 else math.log1p(-math.exp(x))
    assert float(log1mexp(torch.tensor(x, dtype=torch.float64))) == pytest.approx(exact, rel=1e-12)


def test_log1mexp_is_clamped_at_zero() -> None:
    assert float(log1mexp(torch.tensor(0.0))) == pytest.approx(math.log(ODDS_CLAMP), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@given(chosen=MEANS, rejected=MEANS)
@settings(max_examples=200, deadline=None)
def test_loss_and_gradient_are_finite_everywhere(
    dtype: torch.dtype, chosen: float, rejected: float
) -> None:
    means = torch.tensor([[chosen], [rejected]], dtype=dtype, requires_grad=True)
    terms = orpo(logps_of(means[0], means[1]), 0.1)
    (terms.token_sum + terms.pair_sum).backward()
    assert torch.isfinite(terms.token_sum + terms.pair_sum)
    assert torch.isfinite(means.grad).all()


@given(chosen=st.floats(-1e3, -1e-3), rejected=st.floats(-1e3, -1e-3))
@settings(max_examples=100, deadline=None)
def test_float32_agrees_with_float64(chosen: float, rejected: float) -> None:
    losses = []
    for dtype in (torch.float32, torch.float64):
        pair = torch.tensor([[chosen], [rejected]], dtype=dtype)
        losses.append(float(orpo(logps_of(pair[0], pair[1]), 1.0).pair_sum))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3, abs=1e-4)


def test_gradient_is_the_derivative() -> None:
    means = torch.tensor([[-0.5, -2.0], [-1.5, -0.01]], dtype=torch.float64, requires_grad=True)

    def loss(x: torch.Tensor) -> torch.Tensor:
        terms = orpo(logps_of(x[0], x[1]), 0.3)
        return terms.token_sum + terms.pair_sum

    assert torch.autograd.gradcheck(loss, means)


def test_orpo_by_hand() -> None:
    chosen, rejected = math.log(0.8), math.log(0.5)  # odds 4 and 1, odds ratio 4
    terms = orpo(logps_of(torch.tensor([chosen]), torch.tensor([rejected])), 0.1)
    assert float(terms.token_sum) == pytest.approx(-chosen)
    assert float(terms.pair_sum) == pytest.approx(-0.1 * math.log(0.8), rel=1e-5)
    assert float(terms.metrics["rewards/accuracies"]) == 1.0


def test_half_precision_is_widened() -> None:
    assert log_odds(torch.tensor([-1.0], dtype=torch.bfloat16)).dtype == torch.float32
