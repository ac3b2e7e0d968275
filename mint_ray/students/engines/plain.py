"""Data-parallel training with PyTorch alone."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from mint_ray.common.collectives import sum_gradients
from mint_ray.config.training import TrainingConfig
from mint_ray.students.engines.base import (
    Batch,
    LossOf,
    _adamw,
    _set_learning_rate,
    precision,
    score,
    trainable,
)
from mint_ray.students.engines.master_weights import MasterWeights
from mint_ray.students.logprobs.layouts import Logps, Policy


class PlainEngine:
    """AdamW on every rank; ranks add their gradients in one message."""

    name = "plain"
    replicated = True

    def __init__(self, policy: Policy, training: TrainingConfig) -> None:
        self._policy = policy
        self._max_norm = training.max_grad_norm
        self._masters = MasterWeights(trainable(policy))
        self._optimizer = _adamw(self._masters.weights, training)

    def update(self, batches: Sequence[Batch], loss_of: LossOf, learning_rate: float) -> float:
        """See `Engine.update`."""
        for batch in batches:
            with precision(self._policy):
                logps = self._policy(batch)
            loss_of(batch, logps).backward()  # type: ignore[no-untyped-call]
            self._masters.take_gradients()
        sum_gradients(self._masters.weights)
        norm = float(torch.nn.utils.clip_grad_norm_(self._masters.weights, self._max_norm))
        # An infinite or NaN gradient must not reach the weights: the trainer stops the run.
        if math.isfinite(norm):
            _set_learning_rate(self._optimizer, learning_rate)
            self._optimizer.step()
            self._masters.give_weights()
        self._optimizer.zero_grad()
        return norm

    def score(self, batch: Batch) -> Logps:
        """See `Engine.score`."""
        return score(self._policy, self._policy, batch)

    def whole(self) -> AbstractContextManager[Any]:
        """See `Engine.whole`."""
        return nullcontext()

    def state(self) -> dict[str, Any]:
        """See `Engine.state`."""
        return {"optimizer": self._optimizer.state_dict(), "masters": self._masters.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Engine.load_state`."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._masters.load_state(state["masters"])
