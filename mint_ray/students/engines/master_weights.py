"""Float32 copies of half-precision parameters, which the optimizer updates.

A weight of bfloat16 has eight significant bits, and most updates are smaller than its last one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mint_ray.common.devices import HALF


class MasterWeights:
    """The weights that an optimizer updates, for parameters of any precision.

    A parameter of float32 is its own master weight, so for such a model nothing is copied.

    Args:
        parameters: the model's trained parameters.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        self.weights = [p.detach().float() if p.dtype in HALF else p for p in parameters]
        self._halves = [
            (parameter, weight)
            for parameter, weight in zip(parameters, self.weights, strict=True)
            if weight is not parameter
        ]

    def take_gradients(self) -> None:
        """Add the parameters' gradients to those of the master weights, and clear them."""
        for parameter, weight in self._halves:
            if parameter.grad is None:
                continue
            if weight.grad is None:
                weight.grad = parameter.grad.float()
            else:
                weight.grad += parameter.grad
            parameter.grad = None

    def give_weights(self) -> None:
        """Round the master weights to the parameters."""
        for parameter, weight in self._halves:
            parameter.data.copy_(weight)

    def state(self) -> list[Tensor]:
        """Return the master weights that a checkpoint has to keep."""
        return [weight for _, weight in self._halves]

    def load_state(self, state: Sequence[Tensor]) -> None:
        """Restore the result of `state`, and the parameters from it."""
        for (_, weight), saved in zip(self._halves, state, strict=True):
            weight.copy_(saved)
        self.give_weights()
