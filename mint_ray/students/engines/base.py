"""Base."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from mint_ray.config.training import TrainingConfig
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import Logps, Policy

OFF = "off"


Batch = Sequence[Example]


LossOf = Callable[[Batch, Logps], Tensor]


class Engine(Protocol):
    """One optimizer step at a time."""

    name: str
    replicated: bool
    """Every rank holds the whole optimizer state."""

    def update(self, batches: Sequence[Batch], loss_of: LossOf, learning_rate: float) -> float:
        """Forward and backward over this rank's micro-batches, then one step.

        Returns the gradient norm before clipping, over all ranks; inf or NaN where gradients
        were not finite.
        """
        ...

    def score(self, batch: Batch) -> Logps:
        """Log-probabilities without gradient or dropout; every rank must call it as often."""
        ...

    def whole(self) -> AbstractContextManager[Any]:
        """Within it, every rank has the adapter's weights whole; all ranks must enter."""
        ...

    def state(self) -> dict[str, Any]:
        """This rank's optimizer state: tensors and plain containers only."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned, on the same rank of as many."""
        ...


def precision(policy: Policy) -> AbstractContextManager[Any]:
    """Autocast where the base model is bfloat16; the adapter beside it stays in float32."""
    parameter = next(policy.parameters())
    if parameter.dtype != torch.bfloat16:
        return nullcontext()
    return torch.autocast(parameter.device.type, torch.bfloat16)


def score(forward: Callable[[Batch], Logps], policy: Policy, batch: Batch) -> Logps:
    """`forward(batch)` in evaluation mode and without gradient."""
    was_training = policy.training
    policy.eval()
    try:
        with torch.no_grad(), precision(policy):
            return forward(batch)
    finally:
        policy.train(was_training)


def trainable(policy: Policy) -> list[torch.nn.Parameter]:
    """The adapter's parameters, in a stable order."""
    return [parameter for parameter in policy.parameters() if parameter.requires_grad]


def _adamw(parameters: list[torch.nn.Parameter], training: TrainingConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters, lr=training.learning_rate, weight_decay=training.weight_decay
    )


def _set_learning_rate(optimizer: Any, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
