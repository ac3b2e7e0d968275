"""Rules that stop trials at a rung, for values such that more is better."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mint_ray.config.tune import TuneConfig


@dataclass(frozen=True)
class Verdict:
    """Decision whether a trial stops, with the reason in words that need no context."""

    stop: bool
    why: str


def rung_shares(settings: TuneConfig) -> list[float]:
    """Return shares of a trial's steps after which it is ranked, ascending, without the end."""
    shares = []
    share = settings.first_rung
    while share < 1:
        shares.append(share)
        share *= settings.reduction_factor
    return shares


def judge(settings: TuneConfig, value: float, others: Sequence[float]) -> Verdict:
    """Decide whether a trial that reached a rung stops.

    Args:
        settings: settings of the campaign.
        value: value of this trial at the rung.
        others: values of all other trials that have reached the same rung so far.
    """
    if settings.scheduler == "asha":
        return _asha(value, others, settings.reduction_factor)
    if settings.scheduler == "median":
        return _median(value, others, settings.median_trials)
    return Verdict(False, "nothing is stopped")


def _asha(value: float, others: Sequence[float], factor: int) -> Verdict:
    """Decide by asynchronous successive halving, in its stopping variant.

    Of n trials at the rung, the best floor(n / factor) go on, at least one. Source: arXiv
    1810.05934, and Ray Tune.
    """
    allowed = max(1, (len(others) + 1) // factor)
    position = 1 + sum(other > value for other in others)
    why = f"place {position} of {len(others) + 1} at this rung, {allowed} may go on"
    return Verdict(position > allowed, why)


def _median(value: float, others: Sequence[float], least: int) -> Verdict:
    """Stop a trial that is below the median of the others at the same rung."""
    if len(others) < least:
        why = f"{len(others)} others at this rung, the median rule needs {least}"
        return Verdict(False, why)
    middle = statistics.median(others)
    word = "below" if value < middle else "not below"
    return Verdict(value < middle, f"{word} the median {middle:.3f} of {len(others)} others")
