"""Training objectives: pure functions of per-completion log-probabilities.

An objective returns *sums*; the trainer divides them by the tokens and pairs of the whole
optimizer step (`training.loss_normalisation`). Adding one is a function and a registry line.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Mean log-probabilities above -ODDS_CLAMP (probability of a token closer to 1 than one in a
# million) count as -ODDS_CLAMP in the odds' denominator, whose gradient would be 1/|x|.
ODDS_CLAMP = 1e-6


class Logps(NamedTuple):
    """Summed token log-probabilities; B pairs, C completions each (chosen first).

    `prompt_sums` and `prompt_counts` (B,) cover the prompt's tokens but its first, which
    nothing predicts; zero where the likelihood term does not need them.
    """

    sums: Tensor  # (B, C) float
    counts: Tensor  # (B, C) tokens
    prompt_sums: Tensor  # (B,) float
    prompt_counts: Tensor  # (B,) tokens


@dataclass(frozen=True)
class Terms:
    """Sums over a micro-batch.

    Loss = `token_sum` / tokens of the likelihood term + `pair_sum` / pairs. `metrics` are
    detached sums over pairs, under TRL's names.
    """

    token_sum: Tensor
    pair_sum: Tensor
    metrics: dict[str, Tensor]


Objective = Callable[[Logps, float], Terms]


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x <= 0, finite with a finite gradient everywhere.

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
    """log(p / (1 - p)) of p = exp(mean token log-probability); computed in float32 or wider."""
    wide = mean_logp.float() if mean_logp.dtype in (torch.bfloat16, torch.float16) else mean_logp
    return wide - log1mexp(wide)


def orpo(logps: Logps, orpo_lambda: float) -> Terms:
    """ORPO: NLL - lambda * mean log sigmoid(log odds(chosen) - log odds(rejected)).

    Hong et al., "ORPO: Monolithic Preference Optimization without Reference Model",
    arXiv 2403.07691, equations 6 and 7. The NLL runs over the chosen answer, and over the
    prompt where `logps.prompt_counts` is not zero. Rewards are lambda * mean log-probability,
    as in TRL.
    """
    means = logps.sums / logps.counts
    chosen, rejected = means[:, 0], means[:, 1]
    odds = log_odds(chosen) - log_odds(rejected)
    log_ratio = F.logsigmoid(odds)
    with torch.no_grad():
        metrics = {
            "rewards/chosen": orpo_lambda * chosen.sum(),
            "rewards/rejected": orpo_lambda * rejected.sum(),
            "rewards/accuracies": (chosen > rejected).float().sum(),
            "rewards/margins": orpo_lambda * (chosen - rejected).sum(),
            "logps/chosen": chosen.sum(),
            "logps/rejected": rejected.sum(),
            "log_odds_ratio": log_ratio.sum(),
            "log_odds_chosen": odds.sum(),
        }
    token_sum = -(logps.sums[:, 0].sum() + logps.prompt_sums.sum())
    return Terms(token_sum, -orpo_lambda * log_ratio.sum(), metrics)


OBJECTIVES: dict[str, Objective] = {"orpo": orpo}
