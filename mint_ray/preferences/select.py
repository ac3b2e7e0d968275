"""Selection of chosen and rejected labels from the teacher's scores of a case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.common.digests import digest_of
from mint_ray.common.partial_answers import ALL_ANSWERED, is_answered, order_labels
from mint_ray.common.seeds import stable_seed
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.errors import ConfigError
from mint_ray.preferences.siblings import NO_SIBLINGS, Siblings


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
    unless the set has a single name. Rejected names near the chosen ones leave out the teacher's
    best, which are not all chosen where the chosen ones are drawn: `chosen_size` labels more.

    Raises:
        ConfigError: the catalogue has too few labels.
    """
    needed = config.chosen_size + config.rejected_sets * config.rejected_size
    needed += config.gold == "none" or (config.gold == "keep" and config.rejected_size == 1)
    if config.chosen == "drawn" and config.rejected != "worst":
        needed += config.chosen_size
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
    siblings: Siblings = NO_SIBLINGS,
) -> PairSelection:
    """Choose `chosen_size` labels of one case, and others for its rejected sets.

    Of a teacher that answers for some labels only, `chosen` has answered labels alone, beside the
    known answer with `gold: first`, and so may be shorter. The worst labels are those that it does
    not answer for, at random, and then the worst answered ones.

    Args:
        scores: (n_labels,) log-probabilities of the teacher.
        gold: index of the known answer, None where it is unknown.
        config: sizes of the lists, number of rejected sets, choice of their names, order, gold
            handling, minimum confidence.
        seed: text from which random orders are drawn, such as the case's id.
        floor: score of labels that the teacher does not answer for; see `Teacher`.
        siblings: of the catalogue, which rejected names near the chosen ones start with.

    Returns:
        The pairs, or a reason: `low_confidence`, `nothing_answered` if no label can be chosen, or
        `teacher_not_finite` for scores that are not finite although the teacher gave no reason.
    """
    if not np.isfinite(scores).all():
        return PairSelection(reason="teacher_not_finite")
    if float(np.exp(scores.max())) < config.min_confidence:
        return PairSelection(reason="low_confidence")
    order, answered = order_labels(scores, floor, seed), is_answered(scores, floor)
    n_answered = int(answered.sum())
    best = chosen = _chosen(order, n_answered, gold, config)
    if config.chosen == "drawn":
        chosen = _chosen(_drawn(scores, order[:n_answered], seed), n_answered, gold, config)
    if not chosen:
        return PairSelection(reason="nothing_answered")
    excluded = [*chosen, *([] if gold is None else [gold])]
    bottom = order[~np.isin(order, excluded)][::-1]
    # Names that the teacher ranks among the best are no mistakes, even where others were drawn.
    near = bottom[~np.isin(bottom, best)][::-1]
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    pairs = []
    for set_index, names in enumerate(
        _rejected_sets(bottom, near, siblings.of(chosen), config, seed)
    ):
        worst_first = names[np.argsort(-places[names])]
        rejected = _ordered(worst_first, config, f"{seed}#{set_index}")
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
    """Return the teacher's worst labels, as many as the pairs of one case reject, worst first.

    These are the rejected labels of all sets with `rejected: worst`, and the measure of coverage
    and avoidance whatever the pairs reject. The known answer, the first answers of the pairs and
    the `best_labels` are not among them.

    Args:
        scores: (n_labels,) finite log-probabilities of the teacher.
        gold: index of the known answer, None where it is unknown.
        config: sizes of the lists, number of rejected sets, and gold handling.
        seed, floor: as for `rank_pairs`.
    """
    order = order_labels(scores, floor, seed)
    chosen = _chosen(order, int(is_answered(scores, floor).sum()), gold, config)
    known = () if gold is None else (gold,)
    excluded = (*chosen, *best_labels(scores, config, seed, floor), *known)
    bottom: Ints = order[~np.isin(order, excluded)][::-1]
    return bottom[: config.rejected_sets * config.rejected_size]


def _rejected_sets(
    bottom: Ints, near: Ints, siblings: Ints, config: PreferencesConfig, seed: str
) -> list[Ints]:
    """Return the labels of each rejected set.

    Args:
        bottom: all labels that may be rejected, worst first.
        near: those that may be rejected as hard ones, best first.
        siblings: labels whose names share their stem with a chosen one.
        config: number and size of the sets, and the choice of their labels.
        seed: of the sets whose size cannot be halved.
    """
    size = config.rejected_size
    n_hard = [_n_hard(config, f"{seed}#{set_index}") for set_index in range(config.rejected_sets)]
    hard = _hard(near, siblings, sum(n_hard))
    worst = bottom[~np.isin(bottom, hard)]
    sets, n_taken = [], 0
    for set_index, n in enumerate(n_hard):
        start = set_index * size - n_taken
        sets.append(np.concatenate([hard[n_taken : n_taken + n], worst[start : start + size - n]]))
        n_taken += n
    return sets


def _n_hard(config: PreferencesConfig, seed: str) -> int:
    """Return the number of hard names of a rejected set; the seed decides on an odd one."""
    if config.rejected == "mixed":
        return (config.rejected_size + stable_seed("mixed", seed) % 2) // 2
    return config.rejected_size if config.rejected == "hard" else 0


def _hard(near: Ints, siblings: Ints, n: int) -> Ints:
    """Return the n labels that are rejected as hard ones: every second one a sibling.

    So siblings have at most half of the places; where there are too few, the best ranks follow.
    """
    family = near[np.isin(near, siblings)][: n // 2]
    ranks = near[~np.isin(near, family)][: n - len(family)]
    k = min(len(family), len(ranks))
    alternating = np.stack([ranks[:k], family[:k]], axis=1).ravel()
    hard: Ints = np.concatenate([alternating, ranks[k:], family[k:]])
    return hard


def _drawn(scores: Floats32, answered: Ints, seed: str) -> Ints:
    """Return answered labels in the order of a draw without replacement from the posterior.

    The largest scores after Gumbel noise are such a draw (Kool et al. 2019, arXiv 1903.06059).
    """
    rng = np.random.default_rng(stable_seed("drawn", seed))
    noisy = scores.astype(np.float64) + rng.gumbel(size=len(scores))
    return answered[np.argsort(-noisy[answered], kind="stable")]


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
