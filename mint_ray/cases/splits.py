"""Groups that must stay together, and splits that keep them so.

Cases of one publication resemble one another, so a random split would test on what training
has seen; so do those of one family, whatever is published of them. Groups are connected
components of cases over shared publications and stated groups.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mint_ray.cases.schema import SPLITS, Case, Split
from mint_ray.config.cases import CasesConfig
from mint_ray.errors import DataError

logger = logging.getLogger(__name__)

_FEW_GROUPS = 3  # a label with fewer groups cannot be in every split


def join_groups(cases: Sequence[Case]) -> list[Case]:
    """The cases with a `group_id` that joins all that share a `group_id` or a publication.

    Directly or over others: a family joins the publications of all its members. The id of a group
    is the first of its publications in sorted order, whatever the order of the cases; a group
    without a publication keeps the id it has. A group named after a publication is that
    publication's. Doing it twice changes nothing.
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


def split_cases(cases: Sequence[Case], config: CasesConfig, seed: int) -> list[Case]:
    """The cases with `split` and `seen` as the settings want them: by folds, or by fractions."""
    validation = config.validation_fraction
    if config.folds is not None:
        return assign_folds(cases, config.folds, config.fold, validation > 0, seed)
    return assign_splits(cases, validation, config.test_fraction, seed)


def assign_splits(
    cases: Sequence[Case], validation_fraction: float, test_fraction: float, seed: int
) -> list[Case]:
    """The cases with `split` and `seen`, in the order given; whole groups, stratified by label.

    Args:
        cases: cases with their `group_id`.
        validation_fraction, test_fraction: shares of the cases, each in [0, 1) and below 1
            together; met as nearly as whole groups allow.
        seed: decides between equals. The same cases and seed give the same splits, whatever the
            order of the cases.

    `seen` is true where the label has a training case, false for every other case, those without
    a label included. Labels of fewer than three groups are shared out together: about the test
    fraction of them has no training case.

    Raises:
        DataError: no case would be left to train on or to test on.
    """
    fractions = {
        "train": 1.0 - validation_fraction - test_fraction,
        "validation": validation_fraction,
        "test": test_fraction,
    }
    split_of = _share_out(_strata(cases, seed), fractions)
    placed: list[Case] = [{**case, "split": split_of[case["group_id"]]} for case in cases]
    return mark_seen(placed, tested=test_fraction > 0)


def assign_folds(
    cases: Sequence[Case], folds: int, fold: int, validation: bool, seed: int
) -> list[Case]:
    """The cases with `split` and `seen` for one round of a cross-validation by whole groups.

    The groups of each label are dealt round into `folds` parts, where the last label's dealing
    ended. Part `fold` (from 0) is the test split, with `validation` the one after it the
    validation split, the others the training split: over all rounds each case is tested once.

    Raises:
        DataError: no case would be left to train on or to test on.
    """
    dealt = [group for stratum in _strata(cases, seed) for group, _ in stratum]
    part_of = {group: place % folds for place, group in enumerate(dealt)}
    names: dict[int, Split] = {fold: "test"}
    if validation:
        names[(fold + 1) % folds] = "validation"
    placed: list[Case] = [
        {**case, "split": names.get(part_of[case["group_id"]], "train")} for case in cases
    ]
    return mark_seen(placed)


def mark_seen(placed: Sequence[Case], tested: bool = True) -> list[Case]:
    """The cases of which `split` is known with `seen`.

    Raises:
        DataError: there is no case to train on, or, where that is wanted, none to test on.
    """
    trained = {case["label_id"] for case in placed if case["split"] == "train"} - {None}
    sizes = Counter(case["split"] for case in placed)
    if not sizes["train"] or (tested and not sizes["test"]):
        raise DataError(
            f"expected groups enough for a training and a test split, found {len(placed)} cases in "
            f"{len({case['group_id'] for case in placed})} groups; add cases of other "
            "publications, patients or slides",
            {split: sizes[split] for split in SPLITS},
        )
    return [{**case, "seen": case["label_id"] in trained} for case in placed]


def check_no_leakage(rows: Iterable[Mapping[str, Any]]) -> None:
    """Make sure that no group straddles splits.

    Args:
        rows: anything with `group_id` and `split`; rows without a split are left out.

    Raises:
        DataError: a group is in several splits.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["split"] is not None:
            splits[row["group_id"]].add(row["split"])
    straddling = sum(len(found) > 1 for found in splits.values())
    if straddling:
        raise DataError(
            f"expected every group in one split, found {straddling} of {len(splits)} groups in "
            "several: what is tested would have been trained on; split the cases again by group",
            {"groups_in_several_splits": straddling},
        )


def _strata(cases: Sequence[Case], seed: int) -> list[list[tuple[str, int]]]:
    """Groups (id, cases), largest first, of each label; those of rare labels together, last."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        labels[case["group_id"]][case["label_id"] or ""] += 1
    by_label: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for group, counts in labels.items():
        # A group of several labels counts with the one that most of its cases have.
        label = min(counts, key=lambda name: (-counts[name], name))
        by_label[label].append((group, counts.total()))
    strata = [by_label[label] for label in sorted(by_label)]
    rare = [group for stratum in strata if len(stratum) < _FEW_GROUPS for group in stratum]
    strata = [stratum for stratum in strata if len(stratum) >= _FEW_GROUPS]
    order = {group: _draw(group, seed) for group in labels}
    return [sorted(s, key=lambda item: (-item[1], order[item[0]])) for s in [*strata, rare]]


def _share_out(
    strata: Iterable[Sequence[tuple[str, int]]], fractions: Mapping[str, float]
) -> dict[str, str]:
    """Group -> split: each stratum in proportion, by Sainte-Laguë's rule.

    The next group goes to the split whose fill, counted to the middle of the group, is the
    smallest share of its fraction. What a stratum gave too much or too little is carried into
    the next, so that rounding does not add up.
    """
    wanted = [split for split in SPLITS if fractions[split] > 0]
    surplus = dict.fromkeys(wanted, 0.0)
    split_of: dict[str, str] = {}
    for stratum in strata:
        for group, size in stratum:
            split = min(wanted, key=lambda s: (surplus[s] + size / 2) / fractions[s])
            surplus[split] += size
            split_of[group] = split
        total = sum(size for _, size in stratum)
        for split in wanted:
            surplus[split] -= fractions[split] * total
    return split_of


def _draw(group: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()


def _root(parent: dict[str, str], item: str) -> str:
    """Representative of the item's component; paths are halved on the way (union-find)."""
    parent.setdefault(item, item)
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


def _unite(parent: dict[str, str], first: str, second: str) -> None:
    """Join two components under the smaller of their representatives."""
    low, high = sorted((_root(parent, first), _root(parent, second)))
    parent[high] = low
