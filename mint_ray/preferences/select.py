"""From one case's label scores to its preference pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.common.digests import digest_of
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.errors import ConfigError


@dataclass(frozen=True)
class RankedPair:
    """One preference as label indices, best or first-named first."""

    window: int
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    candidates: tuple[int, ...]


@dataclass(frozen=True)
class Ranking:
    """What the teacher's scores of one case turn into: pairs, or the reason for none."""

    pairs: tuple[RankedPair, ...] = ()
    reason: str | None = None


def check_catalogue_size(n_labels: int, config: PreferencesConfig) -> None:
    """Refuse settings that ask for more names than the catalogue holds.

    Chosen and rejected names differ, which takes `k + windows × q` labels. The known answer takes
    one more where it is never chosen (`gold: none`), since it is not rejected either. Where it
    keeps the teacher's place (`gold: keep`) and that is not among the best k, a catalogue of
    exactly `k + windows × q` labels leaves the last window one name short, which must not be
    its only one.

    Raises:
        ConfigError: the names do not fit.
    """
    needed = config.k + config.windows * config.q
    needed += config.gold == "none" or (config.gold == "keep" and config.q == 1)
    if needed > n_labels:
        raise ConfigError(
            f"preferences.k={config.k} and {config.windows} window(s) of q={config.q} with "
            f"gold={config.gold} need a catalogue of at least {needed} labels, found {n_labels}; "
            "lower k, q or windows"
        )


def rank_pairs(
    scores: Floats32,
    gold: int | None,
    config: PreferencesConfig,
    seed: str,
) -> Ranking:
    """Choose the best k and the worst q labels of one case.

    Args:
        scores: (n_labels,) log-probabilities of the teacher.
        gold: index of the known answer, None where the case has none.
        config: k, q, windows, order, gold handling, minimum confidence.
        seed: stable text that decides the `shuffled` order.

    Returns:
        The pairs, or a reason: `low_confidence`, or `teacher_not_finite` where the teacher names
        no reason of its own.
    """
    if not np.isfinite(scores).all():
        return Ranking(reason="teacher_not_finite")
    if float(np.exp(scores.max())) < config.min_confidence:
        return Ranking(reason="low_confidence")
    order = np.argsort(-scores, kind="stable")
    chosen = _chosen(order, gold, config)
    worst = order[::-1]
    worst = worst[~np.isin(worst, [*chosen, -1 if gold is None else gold])]
    pairs = []
    for window in range(config.windows):
        names = worst[window * config.q : (window + 1) * config.q]
        rejected = _ordered(names, config, f"{seed}#{window}")
        candidates = chosen + rejected
        if config.candidates_include_gold and gold is not None and gold not in candidates:
            candidates += (gold,)
        pairs.append(RankedPair(window, chosen, rejected, candidates))
    return Ranking(pairs=tuple(pairs))


def _chosen(order: Ints, gold: int | None, config: PreferencesConfig) -> tuple[int, ...]:
    if gold is None or config.gold == "keep":
        return tuple(order[: config.k].tolist())
    others = order[order != gold]
    if config.gold == "none":
        return tuple(others[: config.k].tolist())
    return (gold, *others[: config.k - 1].tolist())


def _ordered(worst_first: Ints, config: PreferencesConfig, seed: str) -> tuple[int, ...]:
    if config.order == "worst_last":
        worst_first = worst_first[::-1]
    elif config.order == "shuffled":
        rng = np.random.default_rng(int(digest_of(seed)[:16], 16))
        worst_first = rng.permutation(worst_first)
    return tuple(worst_first.tolist())


def pick(items: Sequence[str], indices: Sequence[int]) -> list[str]:
    """The items at the indices, as a list."""
    return [items[index] for index in indices]
