"""E-step of RCFT, and the calibration regime of the student in training.

An objective with `bins` gets a new E-step before the first step of every epoch. For an objective
that only `measures`, the regime is measured once, before the run's first step.
"""

import logging
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from mint_ray.common.collectives import gather, rank, world_size
from mint_ray.common.probabilities.temperature import top_confidence
from mint_ray.config.training import TrainingConfig
from mint_ray.students.engines.base import Engine
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.objectives.rcft import (
    CaseBins,
    Regime,
    expectation,
    is_correct,
    regime,
)
from mint_ray.students.objectives.registry import Objective

logger = logging.getLogger(__name__)

# Most examples on which the regime is measured where no bins are needed.
_REGIME_EXAMPLES = 1000


class EStep:
    """Scores of the training examples under the present student, computed jointly on all ranks.

    Args:
        objective: the run's; says whether there is an E-step or only a measurement.
        training: batch size, bins.
        count: usable examples.
        micro_batch_size: examples per forward pass.
        engine: computes the scores.
        example: encodes the example of an index, from 0.
        state: result of `state`, from a checkpoint; None or empty at the start.
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
        """Return the last E-step for a checkpoint; empty where there was no E-step."""
        return self.bins.state() if self.bins else {}

    def before(self, step: int, first: int) -> Regime | None:
        """Measure the regime, and take the E-step, if that is due before `step`.

        Args:
            step: optimizer step, from 0.
            first: first step of this process, which a checkpoint without bins makes due.

        Returns:
            The regime; None where nothing is due. All ranks must call it.
        """
        if not self._is_due(step, first):
            return None
        sample = self._count if self._objective.bins else min(self._count, _REGIME_EXAMPLES)
        scores, answers = self._scores(sample)
        if self._objective.bins:
            self.bins = expectation(
                top_confidence(scores),
                is_correct(scores, answers),
                np.array([answer is not None for answer in answers]),
                self._training.calibration_bins,
            )
        return regime(scores, answers, self._training.calibration_bins)

    def _is_due(self, step: int, first: int) -> bool:
        if not self._objective.measures:
            return False
        if not self._objective.bins:
            return step == 0
        batch = self._training.batch_size
        new_epoch = step * batch // self._count != (step - 1) * batch // self._count
        return new_epoch or (step == first and self.bins is None)

    def _scores(self, sample: int) -> tuple[list[np.ndarray], list[int | None]]:
        """Return candidate scores and known answers of `sample` examples, by ascending index."""
        order = np.random.default_rng(0).permutation(self._count)[:sample]
        chosen = sorted(int(index) for index in order)
        # Every rank takes the same number of passes, since under ZeRO-3 they take them together;
        # past the end, a rank starts again from the first example.
        passes = -(-sample // (world_size() * self._size))
        local: dict[int, tuple[list[float], int | None]] = {}
        for at in range(passes):
            start = (at * world_size() + rank()) * self._size
            positions = range(start, start + self._size)
            indices = [chosen[position % sample] for position in positions]
            batch = [self._example(index) for index in dict.fromkeys(indices)]
            sums = self._engine.score(batch).sums.double().cpu()
            parts = torch.split(sums, [len(example.completions) for example in batch])
            for example, part in zip(batch, parts, strict=True):
                local[example.index] = (part.tolist(), example.gold)
        by_index = {index: value for part in gather(local) for index, value in part.items()}
        ordered = [by_index[index] for index in chosen]
        return [np.array(sums) for sums, _ in ordered], [answer for _, answer in ordered]
