"""AdamW with a one-cycle schedule and gradients averaged over processes."""

from collections.abc import Iterable

import torch
import torch.distributed as dist

from mint_ray.common.collectives import world_size

MAX_GRADIENT_NORM = 5.0


class Optimiser:
    """AdamW on a loss that is this process's share of a mean over all processes.

    Args:
        parameters: to fit.
        rate: highest learning rate of the one-cycle schedule.
        weight_decay: of AdamW.
        steps: number of updates that the schedule is laid out for.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        rate: float,
        weight_decay: float,
        steps: int,
    ) -> None:
        self._parameters = list(parameters)
        self._adam = torch.optim.AdamW(self._parameters, lr=rate, weight_decay=weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._adam, rate, total_steps=steps + 1, pct_start=0.15
        )

    def step(self, loss: torch.Tensor) -> None:
        """Average the gradients over all processes, then update the parameters once."""
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if world_size() > 1:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= world_size()
        torch.nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM)
        self._adam.step()
        self._schedule.step()
