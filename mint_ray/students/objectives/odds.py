"""Odds of a completion from its mean token log-probability, finite everywhere."""

import math

import torch
from torch import Tensor

from mint_ray.common.devices import HALF

# Mean log-probabilities above -ODDS_CLAMP (a token's probability within a millionth of 1) count as
# -ODDS_CLAMP in the odds' denominator, whose gradient would be 1/|x|.
ODDS_CLAMP = 1e-6


def log1mexp(x: Tensor) -> Tensor:
    """Return log(1 - exp(x)) for x <= 0, finite with a finite gradient everywhere.

    x is clamped to at most -`ODDS_CLAMP`, where the gradient is 0. Each branch is evaluated
    only on arguments that suit it (double `where`), since a masked inf still gives NaN
    gradients. Switch point -ln 2 after Maechler, "Accurately computing log(1 - exp(-|a|))".
    """
    x = x.clamp(max=-ODDS_CLAMP)
    near = x > -math.log(2.0)
    near_x = torch.where(near, x, -0.5)
    far_x = torch.where(near, -1.0, x)
    return torch.where(near, torch.log(-torch.expm1(near_x)), torch.log1p(-torch.exp(far_x)))


def log_odds(mean_logp: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of p = exp(mean token log-probability), in float32 or wider."""
    wide = mean_logp.float() if mean_logp.dtype in HALF else mean_logp
    return wide - log1mexp(wide)
