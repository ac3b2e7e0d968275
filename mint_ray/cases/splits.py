"""Grouped splits: groups of related cases, and splits that never divide a group.

Cases of one publication resemble one another, and so do cases of one family, even if they are
published apart. A split of single cases would test on near copies of training cases. Groups are
the connected components of cases over shared publications and stated groups. Splits are drawn
from the groups uniformly at random.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mint_ray.cases.schema import SPLITS, Case, RejectedCase, Split
from mint_ray.config.cases import CasesConfig
from mint_ray.errors import DataError

logger = logging.getLogger(__name__)


def join_groups(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with one `group_id` for all that share a `group_id` or a publication.

    Cases are joined directly or through others: a family joins the publications of all its
    members. The id of a group is the first of its publications in sorted order, whatever the
    order of the cases. A group without a publication keeps its id. A group whose id is the id of
    a publication is joined to the cases of that publication. Applying it twice changes nothing.
    """
    parent: dict[str, str] = {}
    for case in cases:
        for publication in case["publications"]:
            _unite(parent, case["group_id"], publication)
    first: dict[str, str] = {}
    for publication in sorted({p for case in cases for p in case["publications"]}):
        first.setdefault(_root(parent, publication), publication)
    roots = [_root(parent, case["group_id"]) for case in cases]
    return [
        {**case, "group_id": first.get(root, root)} for case, root in zip(cases, roots, strict=True)
    ]


def leave_out_rare(cases: Sequence[Case], least: int) -> tuple[list[Case], list[RejectedCase]]:
    """Return the cases of labels with enough groups, and rejections of the others.

    Cases without a known answer are kept.

    Args:
        cases: cases with their `group_id`.
        least: smallest number of groups of a label.
    """
    groups: dict[str, set[str]] = {}
    for case in cases:
        if case["label_id"] is not None:
            groups.setdefault(case["label_id"], set()).add(case["group_id"])
    rare = {label for label, found in groups.items() if len(found) < least}
    kept = [case for case in cases if case["label_id"] not in rare]
    rejected = [
        RejectedCase(case["case_id"], case["source"], "too_few_groups")
        for case in cases
        if case["label_id"] in rare
    ]
    return kept, rejected


def split_cases(
    cases: Sequence[Case], config: CasesConfig, seed: int, *, by_label: bool = False
) -> list[Case]:
    """Assign `split` and `seen` as configured: by folds if `folds` is set, else by fractions.

    With `without_publication: test`, groups without a publication are test cases beside the others.

    Args:
        cases: cases with their `group_id`.
        config: fractions, folds and the treatment of cases without a publication.
        seed: of the draw.
        by_label: whether the groups of each label are divided for themselves; see `assign_splits`.

    Raises:
        DataError: no case would be left to train on or to test on.
    """
    if config.without_publication == "test":
        published = {case["group_id"] for case in cases if case["publications"]}
        apart = [case["group_id"] not in published for case in cases]
        drawn = [c for c, kept in zip(cases, apart, strict=True) if not kept]
        placed = iter(_split(drawn, config, seed, by_label))
        together: list[Case] = [
            {**case, "split": "test"} if kept else next(placed)
            for case, kept in zip(cases, apart, strict=True)
        ]
        return mark_seen(together)
    return _split(cases, config, seed, by_label)


def _split(cases: Sequence[Case], config: CasesConfig, seed: int, by_label: bool) -> list[Case]:
    validation = config.validation_fraction
    if config.folds is not None:
        return assign_folds(
            cases, config.folds, config.fold, validation > 0, seed, by_label=by_label
        )
    return assign_splits(cases, validation, config.test_fraction, seed, by_label=by_label)


def assign_splits(
    cases: Sequence[Case],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    *,
    by_label: bool = False,
) -> list[Case]:
    """Assign `split` and `seen` by fractions of the groups, drawn uniformly at random.

    A group is in a split with the probability of that split's fraction, whatever its size and its
    labels. So the expected share of the cases is the fraction too, though one large group moves
    the share that is drawn. Any exchange of validation and test groups is as likely as the draw
    itself, as conformal sets assume. `seen` is true if the label has a training case. It is false
    for every other case, those without a label included.

    Args:
        cases: cases with their `group_id`.
        validation_fraction, test_fraction: shares of the groups, each in [0, 1), their sum below
            1. A split with a fraction above 0 gets one group at least: with two groups the
            validation split gives way, with one the test split does too.
        seed: of the draw. The same cases and seed give the same splits, whatever the order of the
            cases.
        by_label: whether the groups of each label are divided for themselves, still at random.
            For a closed list of answers with few groups each, such as tissues: of 8 tissues with
            12 patients each, a plain draw of 20 % leaves a tissue without a test patient in 38 %
            of the seeds, and one of 10 % in 97 %. Not for diseases, among which the share without
            a training patient is a result.

    Returns:
        The cases, in the order given.

    Raises:
        DataError: no case would be left to train on or to test on.
    """
    dealt = _shuffled_groups(cases, seed, by_label)
    counts = _group_counts(len(dealt), validation_fraction, test_fraction)
    split_of = dict(zip(dealt, _evenly_spread(counts), strict=True))
    placed: list[Case] = [{**case, "split": split_of[case["group_id"]]} for case in cases]
    return mark_seen(placed, tested=test_fraction > 0)


def assign_folds(
    cases: Sequence[Case],
    folds: int,
    fold: int,
    validation: bool,
    seed: int,
    *,
    by_label: bool = False,
) -> list[Case]:
    """Assign `split` and `seen` for one round of a cross-validation by whole groups.

    The groups are shuffled and dealt in turn into `folds` parts. Part `fold` (from 0) is the test
    split. With `validation`, the part after it is the validation split. The other parts are the
    training split. Over all rounds, each case is tested once. With `by_label`, the groups of each
    label are dealt one after another, and each label starts where the previous one ended; see
    `assign_splits`.

    Raises:
        DataError: no case would be left to train on or to test on.
    """
    dealt = _shuffled_groups(cases, seed, by_label)
    part_of = {group: position % folds for position, group in enumerate(dealt)}
    names: dict[int, Split] = {fold: "test"}
    if validation:
        names[(fold + 1) % folds] = "validation"
    placed: list[Case] = [
        {**case, "split": names.get(part_of[case["group_id"]], "train")} for case in cases
    ]
    return mark_seen(placed)


def mark_seen(placed: Sequence[Case], tested: bool = True) -> list[Case]:
    """Set `seen` on cases whose `split` is assigned.

    Args:
        placed: cases with their `split`.
        tested: whether a test case is required.

    Raises:
        DataError: there is no case to train on, or no case to test on although `tested`.
    """
    trained = {case["label_id"] for case in placed if case["split"] == "train"} - {None}
    sizes = Counter(case["split"] for case in placed)
    if not sizes["train"] or (tested and not sizes["test"]):
        raise DataError(
            f"expected enough groups for a training and a test split, found {len(placed)} cases in "
            f"{len({case['group_id'] for case in placed})} groups; add cases of other "
            "publications, patients or slides",
            {split: sizes[split] for split in SPLITS},
        )
    return [{**case, "seen": case["label_id"] in trained} for case in placed]


def check_no_leakage(rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise DataError if the cases of a group are in several splits.

    Args:
        rows: any mappings with `group_id` and `split`; rows without a split are ignored.

    Raises:
        DataError: a group is in several splits.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["split"] is not None:
            splits[row["group_id"]].add(row["split"])
    straddling = sum(len(names) > 1 for names in splits.values())
    if straddling:
        raise DataError(
            f"expected every group in one split, found {straddling} of {len(splits)} groups in "
            "several, so that training would see test cases; split the cases again by group",
            {"groups_in_several_splits": straddling},
        )


def _shuffled_groups(cases: Sequence[Case], seed: int, by_label: bool) -> list[str]:
    """Return the ids of all groups in random order.

    With `by_label`, those of a label stand together, and the labels are in random order.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        labels[case["group_id"]][case["label_id"] or ""] += 1
    if not by_label:
        return sorted(labels, key=lambda group: _draw(group, seed))
    # A group of several labels counts for the label that most of its cases have.
    label_of = {
        group: min(counts, key=lambda name: (-counts[name], name))
        for group, counts in labels.items()
    }
    return sorted(
        labels, key=lambda group: (_draw(f"label:{label_of[group]}", seed), _draw(group, seed))
    )


def _group_counts(
    n_groups: int, validation_fraction: float, test_fraction: float
) -> dict[Split, int]:
    """Return the number of groups of each split; one at least where the fraction is above 0."""
    test = max(1, round(test_fraction * n_groups)) if test_fraction else 0
    validation = max(1, round(validation_fraction * n_groups)) if validation_fraction else 0
    test = min(test, max(0, n_groups - 1))
    validation = min(validation, max(0, n_groups - 1 - test))
    return {"train": n_groups - validation - test, "validation": validation, "test": test}


def _evenly_spread(counts: Mapping[Split, int]) -> Iterator[Split]:
    """Yield each split as often as its count says, spread evenly over the whole sequence."""
    dealt = dict.fromkeys((split for split in SPLITS if counts[split]), 0)
    for _ in range(sum(counts.values())):
        split = min(dealt, key=lambda name: (dealt[name] + 0.5) / counts[name])
        dealt[split] += 1
        yield split


def _draw(group: str, seed: int) -> bytes:
    # Not `hash`, which differs between processes.
    return hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()


def _root(parent: dict[str, str], item: str) -> str:
    """Return the representative of the item's component; halve paths on the way (union-find)."""
    parent.setdefault(item, item)
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


def _unite(parent: dict[str, str], first: str, second: str) -> None:
    """Join two components under the smaller of their representatives."""
    low, high = sorted((_root(parent, first), _root(parent, second)))
    parent[high] = low
