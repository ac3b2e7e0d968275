"""Grouped splits: groups of related cases, and splits that never divide a group.

Cases of one publication resemble one another, and so do cases of one family, even if they are
published apart. A random split would test on near copies of training cases. Groups are the
connected components of cases over shared publications and stated groups.
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


def split_cases(cases: Sequence[Case], config: CasesConfig, seed: int) -> list[Case]:
    """Assign `split` and `seen` as configured: by folds if `folds` is set, else by fractions.

    With `without_publication: test`, groups without a publication are test cases beside the others.

    Raises:
        DataError: no case would be left to train on or to test on.
    """
    if config.without_publication == "test":
        published = {case["group_id"] for case in cases if case["publications"]}
        apart = [case["group_id"] not in published for case in cases]
        placed = iter(
            _split([c for c, kept in zip(cases, apart, strict=True) if not kept], config, seed)
        )
        together: list[Case] = [
            {**case, "split": "test"} if kept else next(placed)
            for case, kept in zip(cases, apart, strict=True)
        ]
        return mark_seen(together)
    return _split(cases, config, seed)


def _split(cases: Sequence[Case], config: CasesConfig, seed: int) -> list[Case]:
    validation = config.validation_fraction
    if config.folds is not None:
        return assign_folds(cases, config.folds, config.fold, validation > 0, seed)
    return assign_splits(cases, validation, config.test_fraction, seed)


def assign_splits(
    cases: Sequence[Case], validation_fraction: float, test_fraction: float, seed: int
) -> list[Case]:
    """Assign `split` and `seen` by fractions, in whole groups and stratified by label.

    `seen` is true if the label has a training case. It is false for every other case, those
    without a label included. Labels of fewer than three groups are distributed together, so that
    about the test fraction of them has no training case.

    Args:
        cases: cases with their `group_id`.
        validation_fraction, test_fraction: shares of the cases, each in [0, 1), their sum below
            1; met as closely as whole groups allow.
        seed: order of groups of equal size. The same cases and seed give the same splits,
            whatever the order of the cases.

    Returns:
        The cases, in the order given.

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
    """Assign `split` and `seen` for one round of a cross-validation by whole groups.

    The groups of each label are dealt in turn into `folds` parts; each label starts where the
    previous one ended. Part `fold` (from 0) is the test split. With `validation`, the part after
    it is the validation split. The other parts are the training split. Over all rounds, each case
    is tested once.

    Raises:
        DataError: no case would be left to train on or to test on.
    """
    dealt = [group for stratum in _strata(cases, seed) for group, _ in stratum]
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


def _strata(cases: Sequence[Case], seed: int) -> list[list[tuple[str, int]]]:
    """Return groups (id, cases) per label, largest first; rare labels share the last list."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        labels[case["group_id"]][case["label_id"] or ""] += 1
    by_label: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for group, counts in labels.items():
        # A group of several labels counts for the label that most of its cases have.
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
    """Return group -> split, each stratum in proportion, by Sainte-Laguë's rule.

    The next group goes to the split whose fill, counted to the middle of the group, is the
    smallest share of its fraction. The surplus or deficit of a stratum is carried into the next
    one, so that rounding errors do not add up.
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
