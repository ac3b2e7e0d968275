"""When the calibration of the student in training is measured, and what for.

An objective with `bins` gets a new E-step before the first step of every epoch; one that only
`measures` is told its regime once, before its first step.
"""

import logging
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from mint_ray.common.collectives import gather, rank, world_size
from mint_ray.config.training import TrainingConfig
from mint_ray.students.engines.base import Engine
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.objectives.rcft import (
    CaseBins,
    Regime,
    expectation,
    is_correct,
    regime,
    top_confidence,
)
from mint_ray.students.objectives.registry import Objective

logger = logging.getLogger(__name__)

# Examples that are enough to tell the regime.
_ENOUGH = 1000


class EStep:
    """Scores all training examples with the present student, jointly on all ranks.

    Args:
        objective: what is trained.
        training: batch size, bins.
        count: usable examples.
        micro_batch_size: examples per forward pass.
        engine: gives the scores.
        example: encodes the example of a number.
        state: what `state` returned, from a checkpoint.
    """

    def __init__(
        self,
        objective: Objective,
        training: TrainingConfig,
        count: int,
        micro_batch_size: int,
        engine: Engine,
        example: Callable[[int], Example],
        state: Mapping[str, Tensor] | None,
    ) -> None:
        self._objective, self._training = objective, training
        self._count, self._size = count, micro_batch_size
        self._engine, self._example = engine, example
        self.bins = CaseBins(**state) if state else None

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint; empty where there was no E-step."""
        return self.bins.state() if self.bins else {}

    def before(self, step: int, first: int) -> Regime | None:
        """Measure where it is due before `step`; `first` is the first step of this process."""
        if not self._is_due(step, first):
            return None
        wanted = self._count if self._objective.bins else min(self._count, _ENOUGH)
        scores, answers = self._scores(wanted)
        if self._objective.bins:
            confidence, correct = top_confidence(scores), is_correct(scores, answers)
            self.bins = expectation(confidence, correct, self._training.calibration_bins)
        return regime(scores, answers, self._training.calibration_bins)

    def _is_due(self, step: int, first: int) -> bool:
        if not self._objective.measures:
            return False
        if not self._objective.bins:
            return step == 0
        batch = self._training.batch_size
        new_epoch = step * batch // self._count != (step - 1) * batch // self._count
        return new_epoch or (step == first and self.bins is None)

    def _scores(self, wanted: int) -> tuple[list[np.ndarray], list[int | None]]:
        """Candidate scores and known answers of `wanted` examples, in order of their numbers."""
        order = np.random.default_rng(0).permutation(self._count)[:wanted]
        chosen = sorted(int(number) for number in order)
        # Every rank takes as many passes, since under ZeRO-3 they take them together.
        passes = -(-wanted // (world_size() * self._size))
        own: dict[int, tuple[list[float], int | None]] = {}
        for at in range(passes):
            start = (at * world_size() + rank()) * self._size
            places = range(start, start + self._size)
            numbers = [chosen[place % wanted] for place in places]
            batch = [self._example(number) for number in dict.fromkeys(numbers)]
            sums = self._engine.score(batch).sums.double().cpu()
            parts = torch.split(sums, [len(example.completions) for example in batch])
            for example, part in zip(batch, parts, strict=True):
                own[example.index] = (part.tolist(), example.gold)
        found = {number: value for part in gather(own) for number, value in part.items()}
        ordered = [found[number] for number in chosen]
        return [np.array(sums) for sums, _ in ordered], [answer for _, answer in ordered]
