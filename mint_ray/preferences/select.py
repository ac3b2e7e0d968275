"""Selection of chosen and rejected labels from the teacher's scores of a case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.common.digests import digest_of
from mint_ray.common.partial_answers import ALL_ANSWERED, is_answered, order_labels
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.errors import ConfigError


@dataclass(frozen=True)
class RankedPair:
    """One preference pair as catalogue indices, in the order in which the names are listed."""

    set_index: int
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    candidates: tuple[int, ...]
    n_unanswered: int = 0
    """Number of rejected labels that the teacher did not answer for."""


@dataclass(frozen=True)
class PairSelection:
    """Preference pairs of one case, or the reason why it has none."""

    pairs: tuple[RankedPair, ...] = ()
    reason: str | None = None


def check_catalogue_size(n_labels: int, config: PreferencesConfig) -> None:
    """Check that the catalogue has enough labels for the settings.

    Chosen and rejected names differ, so the settings need n = `chosen_size` + `rejected_sets` ×
    `rejected_size` labels. With `gold: none` they need one more, since the known answer is neither
    chosen nor rejected. With `gold: keep` the known answer may be outside the chosen; then a
    catalogue of exactly n labels leaves the last rejected set one name short. This is allowed
    unless the set has a single name.

    Raises:
        ConfigError: the catalogue has too few labels.
    """
    needed = config.chosen_size + config.rejected_sets * config.rejected_size
    needed += config.gold == "none" or (config.gold == "keep" and config.rejected_size == 1)
    if needed > n_labels:
        raise ConfigError(
            f"preferences.chosen_size={config.chosen_size} and {config.rejected_sets} rejected "
            f"set(s) of {config.rejected_size} with gold={config.gold} need a catalogue of at "
            f"least {needed} labels, found {n_labels}; lower chosen_size, rejected_size or "
            "rejected_sets"
        )


def rank_pairs(
    scores: Floats32,
    gold: int | None,
    config: PreferencesConfig,
    seed: str,
    floor: float = ALL_ANSWERED,
) -> PairSelection:
    """Choose the best `chosen_size` labels of one case, and the worst ones for its rejected sets.

    Of a teacher that answers for some labels only, `chosen` has answered labels alone, beside the
    known answer with `gold: first`, and so may be shorter. The rejected labels come from those that
    it does not answer for, at random, and then from the worst answered ones.

    Args:
        scores: (n_labels,) log-probabilities of the teacher.
        gold: index of the known answer, None where it is unknown.
        config: sizes of the lists, number of rejected sets, order, gold handling, minimum
            confidence.
        seed: text from which random orders are drawn, such as the case's id.
        floor: score of labels that the teacher does not answer for; see `Teacher`.

    Returns:
        The pairs, or a reason: `low_confidence`, `nothing_answered` if no label can be chosen, or
        `teacher_not_finite` for scores that are not finite although the teacher gave no reason.
    """
    if not np.isfinite(scores).all():
        return PairSelection(reason="teacher_not_finite")
    if float(np.exp(scores.max())) < config.min_confidence:
        return PairSelection(reason="low_confidence")
    order, answered = order_labels(scores, floor, seed), is_answered(scores, floor)
    chosen = _chosen(order, int(answered.sum()), gold, config)
    if not chosen:
        return PairSelection(reason="nothing_answered")
    worst = _worst(order, chosen, gold, config)
    pairs = []
    size = config.rejected_size
    for set_index in range(config.rejected_sets):
        names = worst[set_index * size : (set_index + 1) * size]
        rejected = _ordered(names, config, f"{seed}#{set_index}")
        candidates = chosen + rejected
        if config.candidates_include_gold and gold is not None and gold not in candidates:
            candidates += (gold,)
        n_unanswered = int((~answered[names]).sum())
        pairs.append(RankedPair(set_index, chosen, rejected, candidates, n_unanswered))
    return PairSelection(pairs=tuple(pairs))


def best_labels(
    scores: Floats32, config: PreferencesConfig, seed: str, floor: float = ALL_ANSWERED
) -> Ints:
    """Return the teacher's `chosen_size` best labels of one case, wherever the known answer is.

    Args:
        scores: (n_labels,) finite log-probabilities of the teacher.
        config: sizes of the lists.
        seed, floor: as for `rank_pairs`; labels that are not answered are not among the best.
    """
    n_answered = int(is_answered(scores, floor).sum())
    return order_labels(scores, floor, seed)[: min(config.chosen_size, n_answered)]


def worst_labels(
    scores: Floats32,
    gold: int | None,
    config: PreferencesConfig,
    seed: str,
    floor: float = ALL_ANSWERED,
) -> Ints:
    """Return the labels that the pairs of one case reject, all sets together, worst first.

    The known answer and the chosen labels are not among them.

    Args:
        scores: (n_labels,) finite log-probabilities of the teacher.
        gold: index of the known answer, None where it is unknown.
        config: sizes of the lists, number of rejected sets, and gold handling.
        seed, floor: as for `rank_pairs`.
    """
    order = order_labels(scores, floor, seed)
    chosen = _chosen(order, int(is_answered(scores, floor).sum()), gold, config)
    return _worst(order, chosen, gold, config)


def _worst(
    order: Ints, chosen: tuple[int, ...], gold: int | None, config: PreferencesConfig
) -> Ints:
    worst_first = order[::-1]
    excluded = chosen if gold is None else (*chosen, gold)
    rejectable: Ints = worst_first[~np.isin(worst_first, excluded)]
    return rejectable[: config.rejected_sets * config.rejected_size]


def _chosen(
    order: Ints, n_answered: int, gold: int | None, config: PreferencesConfig
) -> tuple[int, ...]:
    order = order[:n_answered]
    if gold is None or config.gold == "keep":
        return tuple(order[: config.chosen_size].tolist())
    others = order[order != gold]
    if config.gold == "none":
        return tuple(others[: config.chosen_size].tolist())
    return (gold, *others[: config.chosen_size - 1].tolist())


def _ordered(worst_first: Ints, config: PreferencesConfig, seed: str) -> tuple[int, ...]:
    if config.order == "worst_last":
        worst_first = worst_first[::-1]
    elif config.order == "shuffled":
        rng = np.random.default_rng(int(digest_of(seed)[:16], 16))
        worst_first = rng.permutation(worst_first)
    return tuple(worst_first.tolist())


def pick(items: Sequence[str], indices: Sequence[int]) -> list[str]:
    """Return the items at the indices."""
    return [items[index] for index in indices]
