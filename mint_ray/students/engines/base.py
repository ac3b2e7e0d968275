"""Interface of the engines that turn gradients into optimizer steps.

Losses are already divided by the tokens and pairs of the whole step, so engines *add* gradients
over micro-batches and ranks; they must not average them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from mint_ray.config.training import TrainingConfig
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import Logps, Policy

Batch = Sequence[Example]


LossOf = Callable[[Batch, Logps], Tensor]


class Engine(Protocol):
    """An optimizer with the policy that it updates, one step at a time."""

    name: str
    replicated: bool
    """Whether every rank holds the whole optimizer state."""

    def update(self, batches: Sequence[Batch], loss_of: LossOf, learning_rate: float) -> float:
        """Run forward and backward over this rank's micro-batches, then take one step.

        Args:
            batches: this rank's micro-batches.
            loss_of: a micro-batch's share of the step's loss.
            learning_rate: of this step.

        Returns:
            The gradient norm before clipping, over all ranks; inf or NaN where gradients were not
            finite.
        """
        ...

    def score(self, batch: Batch) -> Logps:
        """Score without gradient or dropout; all ranks must call it the same number of times."""
        ...

    def whole(self) -> AbstractContextManager[Any]:
        """Give every rank the trained weights as a whole in a `with` block.

        All ranks must enter it.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return the optimizer state of this rank: tensors and plain containers only."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the result of `state`, on the same rank and with the same number of ranks."""
        ...


def precision(policy: Policy) -> AbstractContextManager[Any]:
    """Autocast where a model of bfloat16 has an adapter, whose weights stay float32."""
    dtypes = {parameter.dtype for parameter in policy.parameters()}
    if dtypes != {torch.bfloat16, torch.float32}:
        return nullcontext()
    return torch.autocast(next(policy.parameters()).device.type, torch.bfloat16)


def score(forward: Callable[[Batch], Logps], policy: Policy, batch: Batch) -> Logps:
    """Call `forward(batch)` in evaluation mode and without gradient."""
    was_training = policy.training
    policy.eval()
    try:
        with torch.no_grad(), precision(policy):
            return forward(batch)
    finally:
        policy.train(was_training)


def trainable(policy: Policy) -> list[torch.nn.Parameter]:
    """Return the trained parameters, in a stable order."""
    return [parameter for parameter in policy.parameters() if parameter.requires_grad]


def _adamw(parameters: Sequence[Tensor], training: TrainingConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )


def _set_learning_rate(optimizer: Any, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
