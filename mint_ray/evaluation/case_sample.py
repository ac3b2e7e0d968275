"""Random sample of the cases of a split: few per group, and with the shares of the whole.

A publication with hundreds of cases would rule a figure by itself. So the number of cases per group
is limited first. A limited number of rankings is then spent on the same shares of seen and unseen
labels as the limited whole has.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from mint_ray.cases.schema import MADE_SOURCES
from mint_ray.common.arrays import Ints
from mint_ray.config.config import Config
from mint_ray.errors import DataError


@dataclass(frozen=True)
class SampledFrom:
    """Origin of the cases of a table: their split and its draw."""

    split: str
    seed: int
    fold: int | None = None
    """Tested part of a cross-validation, from 0; None where splits are fractions."""
    folds: int | None = None
    cases_per_group: int | None = None
    """Largest number of cases of a group; None for all."""

    def describe(self) -> str:
        """Return the origin in a few words.

        >>> SampledFrom("test", 0, fold=1, folds=5, cases_per_group=10).describe()
        'test split, seed 0, fold 1 of 5 (from 0), at most 10 cases per group'
        """
        parts = [f"{self.split} split", f"seed {self.seed}"]
        if self.fold is not None:
            parts.append(f"fold {self.fold} of {self.folds} (from 0)")
        if self.cases_per_group is not None:
            parts.append(f"at most {self.cases_per_group} cases per group")
        return ", ".join(parts)


def sampled_from(config: Config, split: str) -> SampledFrom:
    """Return the origin of the cases of a split under a config."""
    folds = config.cases.folds
    return SampledFrom(
        split=split,
        seed=config.seed,
        fold=None if folds is None else config.cases.fold,
        folds=folds,
        cases_per_group=config.evaluation.group_limit(config.task),
    )


def read_tested(cases: Path, config: Config) -> tuple[pa.Table, pa.Table]:
    """Return all cases of a `cases` step without the made ones, and those that are tested.

    Args:
        cases: folder of the step.
        config: with the limits of section `evaluation`, and the seed of the sample.

    Returns:
        Two tables with case_id, group_id, split, label_id, label_name, seen, publications and
        `described` (whether a text is there for the teacher alone).

    Raises:
        DataError: no test case has a known answer.
    """
    per_group = config.evaluation.group_limit(config.task)
    return read_sample(cases, config.evaluation.max_cases, per_group, config.seed)


def read_sample(
    cases: Path, max_cases: int | None, max_per_group: int | None, seed: int
) -> tuple[pa.Table, pa.Table]:
    """Return the two tables of `read_tested`, given the limits; see `choose_cases`."""
    columns = ("case_id", "group_id", "split", "label_id", "label_name", "seen", "publications")
    described = pc.utf8_length(pc.coalesce(pds.field("description"), pds.scalar(""))) > 0
    all_cases = pds.dataset(cases / "cases.parquet").to_table(
        columns={name: pds.field(name) for name in columns} | {"described": described},
        filter=~pds.field("source").isin(list(MADE_SOURCES)),
    )
    return all_cases, choose_cases(all_cases, max_cases, seed, max_per_group=max_per_group)


def choose_cases(
    cases: pa.Table,
    max_cases: int | None,
    seed: int,
    split: str = "test",
    max_per_group: int | None = None,
) -> pa.Table:
    """Return the cases of a split with a known answer, or a random sample of them.

    Of each group, `max_per_group` cases are kept at random. If more than `max_cases` are left, seen
    and unseen cases are drawn apart, so that the shares of both are those of what was left, within
    one case. Whole groups are drawn in random order until there are enough cases, and the surplus
    of cases is left out at random. So whether a group is drawn does not depend on its size, and
    large groups have their share of the cases. To skip a group that is too large for what is left
    would favour small ones.

    Args:
        cases: case table with case_id, group_id, split, label_id and seen.
        max_cases: limit; None for all cases.
        seed: of the sample.
        split: `train`, `validation` or `test`.
        max_per_group: largest number of cases of a group; None for all.

    Returns:
        Rows of `cases` by ascending case id.

    Raises:
        DataError: no case has a known answer.
    """
    wanted = pc.and_(pc.equal(cases["split"], split), pc.is_valid(cases["label_id"]))
    known = cases.filter(wanted).sort_by("case_id")
    if not known.num_rows:
        raise DataError(
            f"expected {split} cases with a known answer, found none; see cases.*_fraction"
        )
    rng = np.random.default_rng(seed)
    group = _shuffled_numbers(known["group_id"].to_pylist(), rng)
    drawn = _by_group(group, max_per_group, rng)
    if max_cases is not None and len(drawn) > max_cases:
        seen = np.array([bool(value) for value in known["seen"].to_pylist()])[drawn]
        n_seen = round(max_cases * float(seen.mean()))
        parts = ((drawn[seen], n_seen), (drawn[~seen], max_cases - n_seen))
        drawn = np.concatenate([_draw(part, group, count, rng) for part, count in parts])
    return known.take(pa.array(np.sort(drawn)))


def halve_groups(cases: pa.Table, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return two parts of the cases, each with half of the groups, drawn at random.

    Args:
        cases: case table with group_id.
        seed: of the draw.

    Raises:
        DataError: there are fewer than two groups.
    """
    numbers = _shuffled_numbers(cases["group_id"].to_pylist(), np.random.default_rng(seed))
    n_groups = len(np.unique(numbers))
    if n_groups < 2:
        raise DataError(
            f"expected at least two groups of validation cases, one to fit and one to calibrate, "
            f"found {n_groups}; see cases.validation_fraction"
        )
    first = pa.array(numbers < n_groups // 2)
    return cases.filter(first), cases.filter(pc.invert(first))


def _shuffled_numbers(groups: list[str], rng: np.random.Generator) -> Ints:
    """Return a number for each case, (n,): equal within a group, groups in random order."""
    names = rng.permutation(sorted(set(groups))).tolist()
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[name] for name in groups])


def _by_group(group: Ints, max_per_group: int | None, rng: np.random.Generator) -> Ints:
    """Return the indices of the kept cases by ascending group; within a group they are random."""
    order = np.lexsort((rng.random(len(group)), group))
    if max_per_group is None:
        return order
    first = np.searchsorted(group[order], group[order])  # where the group of each case begins
    return order[np.arange(len(order)) - first < max_per_group]


def _draw(cases: Ints, group: Ints, count: int, rng: np.random.Generator) -> Ints:
    """Draw `count` of the cases, which are sorted by group, from as few groups as have so many."""
    if not count:
        return cases[:0]
    whole = cases[group[cases] <= group[cases[count - 1]]]
    return rng.choice(whole, count, replace=False)
