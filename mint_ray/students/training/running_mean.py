"""Running mean of the trained weights over optimizer steps, known as stochastic weight averaging.

Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI
2018.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch


class RunningMean:
    """Mean of the weights after each of the last steps of a run, held in float32.

    Args:
        parameters: the model's trained parameters, as a whole on every rank.
        steps: of the run.
        share: of the steps, above 0: the last ones, at least one, whose weights are averaged.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter], steps: int, share: float) -> None:
        self._parameters = list(parameters)
        self._before = steps - max(1, math.ceil(share * steps))
        self._count = 0
        self._means: list[torch.Tensor] = []

    def add(self, done: int) -> None:
        """Take the weights as they are after `done` steps into the mean, if they count."""
        if done <= self._before:
            return
        self._count += 1
        if not self._means:
            self._means = [p.detach().to(torch.float32, copy=True) for p in self._parameters]
            return
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter.detach().float(), 1 / self._count)

    def give(self) -> None:
        """Round the means to the parameters."""
        for parameter, mean in zip(self._parameters, self._means, strict=True):
            parameter.data.copy_(mean)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep."""
        return {"count": self._count, "means": self._means}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the result of `state`."""
        self._count = state["count"]
        self._means = [
            mean.to(parameter.device)
            for mean, parameter in zip(state["means"], self._parameters, strict=False)
        ]
