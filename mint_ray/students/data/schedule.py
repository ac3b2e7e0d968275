"""Schedule of a run: the examples and the learning rate of a step, as pure functions of it."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def total_steps(pairs: int, batch_size: int, epochs: int, max_steps: int | None) -> int:
    """Return the optimizer steps that use every pair `epochs` times, at most `max_steps`."""
    steps = math.ceil(pairs * epochs / batch_size)
    return min(steps, max_steps) if max_steps else steps


def steps_within(
    max_tokens: int, lengths: Sequence[int], batch_size: int, seed: int, steps: int
) -> int:
    """Return how many of the first `steps` optimizer steps read at most `max_tokens`; at least 1.

    Args:
        max_tokens: limit of the sum over steps.
        lengths: tokens of each row.
        batch_size, seed: see `rows_of_step`.
        steps: most steps.
    """
    read = 0
    for step in range(steps):
        read += sum(lengths[row] for row in rows_of_step(len(lengths), batch_size, seed, step))
        if read > max_tokens:
            return max(1, step)
    return steps


def rows_of_step(pairs: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Return the row numbers of optimizer step `step` (from 0), over all workers.

    Epochs follow one another without a gap. The order of each depends on the seed and the epoch
    alone, so that a resumed run uses the same rows as an undisturbed run.
    """
    positions = range(step * batch_size, (step + 1) * batch_size)
    return [int(_epoch_order(pairs, seed, at // pairs)[at % pairs]) for at in positions]


@lru_cache(maxsize=2)
def _epoch_order(pairs: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(pairs)


def learning_rate(step: int, steps: int, peak: float, warmup_ratio: float, schedule: str) -> float:
    """Return the learning rate of step `step` (from 0) of `steps`.

    Warm-up is linear and ends at `peak`. After it, `schedule` decides: `constant`, `linear` to 0,
    or `cosine` to 0.
    """
    warmup = math.ceil(steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return peak * (1 - progress)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    return peak
