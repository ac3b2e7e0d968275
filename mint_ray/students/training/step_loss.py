"""Normalisation of the loss and metrics of one optimizer step, and a run's time and memory."""

import resource
import sys
import time
from collections import defaultdict

import torch
from torch import Tensor

from mint_ray.common.collectives import sum_over_ranks
from mint_ray.config.training import TrainingConfig
from mint_ray.students.objectives.losses import ScoredBatch
from mint_ray.students.objectives.registry import Objective


class StepLoss:
    """Shares of the micro-batches in one optimizer step's loss, and the step's metrics.

    The shares of all micro-batches on all ranks *add up* to the step's loss. `global`
    divides by the step's tokens and units, so the cut into micro-batches does not matter;
    `per_microbatch` is the mean over micro-batches of each one's own loss, as in TRL.

    Args:
        objective: computes the sums that the loss is made of.
        training: the objective's weights, and `loss_normalisation`.
        tokens: tokens of the likelihood term in the whole step, over all ranks.
        units: pairs (or cases without pairs) in the whole step, over all ranks.
        micro_batches: micro-batches in the whole step, over all ranks.
        with_prompt: whether the likelihood term runs over the prompt too.
    """

    def __init__(
        self,
        objective: Objective,
        training: TrainingConfig,
        tokens: float,
        units: float,
        micro_batches: int,
        with_prompt: bool,
    ) -> None:
        self._objective, self._training = objective, training
        self._tokens, self._units = tokens, units
        self._micro_batches = micro_batches
        self._with_prompt = with_prompt
        self._sums: dict[str, list[Tensor]] = defaultdict(list)

    def loss_of(self, scored: ScoredBatch) -> Tensor:
        """Return a micro-batch's share of the step's loss, and add up its metrics."""
        terms = self._objective.terms(scored, self._training)
        tokens, units = self._denominators(scored)
        nll = terms.token_sum / max(tokens, 1.0)
        loss = nll + terms.unit_sum / units
        self._sums["loss"].append(loss.detach())
        if self._tokens:
            self._sums["nll_loss"].append(nll.detach())
        for name, total in terms.metrics.items():
            self._sums[name].append(total / self._units)
        return loss

    def result(self, device: torch.device) -> dict[str, float]:
        """Return the metrics of the whole step, summed over all ranks; all ranks must call it."""
        names = sorted(self._sums)
        local = [float(torch.stack(self._sums[name]).double().sum()) for name in names]
        return dict(zip(names, sum_over_ranks(local, device), strict=True))

    def _denominators(self, scored: ScoredBatch) -> tuple[float, float]:
        if self._training.loss_normalisation == "global":
            return self._tokens, self._units
        tokens = sum(example.likelihood_tokens(self._with_prompt) for example in scored.examples)
        units = sum(example.n_pairs_or_1 for example in scored.examples)
        return float(tokens * self._micro_batches), float(units * self._micro_batches)


def why_not_finite(step: int, loss: float, norm: float, rate: float) -> str:
    """Return what to say of a step whose loss or gradient is not finite.

    Args:
        step: number of the step, from 1.
        loss, norm: the step's loss, and the norm of its gradient.
        rate: peak learning rate of the training.
    """
    return (
        f"step {step}: expected a finite loss and gradient, found loss {loss} and gradient norm "
        f"{norm} at training.learning_rate={rate:g}; take a lower one (leave it out, if it is one "
        "of training.trials.learning_rates)"
    )


class Eta:
    """Estimate of the time left, with the memory used so far."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._began = time.perf_counter()

    def step(self, left: int, device: torch.device) -> dict[str, float]:
        """Return `eta_seconds` and `memory_mb` (MiB) after a step with `left` more to go."""
        done = max(1, self._steps - left)
        each = (time.perf_counter() - self._began) / done
        return {"eta_seconds": each * left, "memory_mb": peak_memory_mb(device)}


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MiB: allocated on a GPU, resident in this process on a CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)
