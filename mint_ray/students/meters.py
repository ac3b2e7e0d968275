"""The loss's denominators and the metrics of one optimizer step."""

from collections import defaultdict

import torch
from torch import Tensor

from mint_ray.config import TrainingConfig
from mint_ray.students.distributed import sum_over_ranks
from mint_ray.students.objectives import OBJECTIVES, Logps


class StepMeter:
    """Turns log-probabilities into this micro-batch's share of the step's loss.

    The shares of all micro-batches on all ranks *add up* to the step's loss. `global`
    divides by the step's tokens and pairs, so the cut into micro-batches does not matter;
    `per_microbatch` is the mean over micro-batches of each one's own loss, as in TRL.

    Args:
        training: objective, its weight, and `loss_normalisation`.
        tokens: tokens of the likelihood term in the whole step, over all ranks.
        micro_batches: micro-batches in the whole step, over all ranks.
    """

    def __init__(self, training: TrainingConfig, tokens: float, micro_batches: int) -> None:
        self._training = training
        self._tokens = tokens
        self._micro_batches = micro_batches
        self._sums: dict[str, list[Tensor]] = defaultdict(list)

    def loss_of(self, logps: Logps) -> Tensor:
        """This micro-batch's share of the loss; its metrics are remembered."""
        terms = OBJECTIVES[self._training.objective](logps, self._training.orpo_lambda)
        tokens, pairs = self._denominators(logps)
        nll = terms.token_sum / tokens
        loss = nll + terms.pair_sum / pairs
        self._sums["loss"].append(loss.detach())
        self._sums["nll_loss"].append(nll.detach())
        for name, total in terms.metrics.items():
            self._sums[name].append(total / self._training.batch_size)
        return loss

    def result(self, device: torch.device) -> dict[str, float]:
        """Metrics of the whole step, over all ranks."""
        names = sorted(self._sums)
        own = [float(torch.stack(self._sums[name]).double().sum()) for name in names]
        return dict(zip(names, sum_over_ranks(own, device), strict=True))

    def _denominators(self, logps: Logps) -> tuple[float, float]:
        if self._training.loss_normalisation == "global":
            return self._tokens, float(self._training.batch_size)
        own = float(logps.counts[:, 0].sum() + logps.prompt_counts.sum())
        return own * self._micro_batches, float(len(logps.counts) * self._micro_batches)
