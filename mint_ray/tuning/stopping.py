"""Which trials are stopped at a rung. Values are such that more is better."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mint_ray.config.tune import TuneConfig


@dataclass(frozen=True)
class Verdict:
    """Whether a trial stops, and why, in words that need no context."""

    stop: bool
    why: str


def rung_shares(settings: TuneConfig) -> list[float]:
    """Parts of a trial's steps after which it is ranked, ascending; the end is not among them."""
    shares = []
    share = settings.first_rung
    while share < 1:
        shares.append(share)
        share *= settings.reduction_factor
    return shares


def judge(settings: TuneConfig, value: float, others: Sequence[float]) -> Verdict:
    """Decide on a trial that reached a rung.

    Args:
        value: its own.
        others: of all other trials that have reached the same rung so far.
    """
    if settings.scheduler == "asha":
        return _asha(value, others, settings.reduction_factor)
    if settings.scheduler == "median":
        return _median(value, others, settings.median_trials)
    return Verdict(False, "nothing is stopped")


def _asha(value: float, others: Sequence[float], factor: int) -> Verdict:
    """Asynchronous successive halving, in its stopping variant: arXiv 1810.05934, Ray Tune.

    Of n trials at the rung, the best floor(n / factor) go on, at least one.
    """
    places = max(1, (len(others) + 1) // factor)
    place = 1 + sum(other > value for other in others)
    why = f"place {place} of {len(others) + 1} at this rung, {places} may go on"
    return Verdict(place > places, why)


def _median(value: float, others: Sequence[float], least: int) -> Verdict:
    """Stops what is below the median of the others at the same rung."""
    if len(others) < least:
        why = f"{len(others)} others at this rung, the median is asked from {least} on"
        return Verdict(False, why)
    middle = statistics.median(others)
    word = "below" if value < middle else "not below"
    return Verdict(value < middle, f"{word} the median {middle:.3f} of {len(others)} others")
