"""Random sample of whole groups of cases, for a limited number of rankings."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.errors import DataError


def choose_cases(
    cases: pa.Table,
    max_cases: int | None,
    seed: int,
    split: str = "test",
    setting: str = "evaluation.max_cases",
) -> pa.Table:
    """Return the cases of a split with a known answer, or a sample of up to `max_cases` of them.

    The sample consists of whole groups. A group that would exceed the limit is skipped.

    Args:
        cases: case table.
        max_cases: limit; None for all cases.
        seed: of the sample.
        split: `train`, `validation` or `test`.
        setting: name of the limit in the settings, for the error message.

    Returns:
        Rows of `cases` by ascending case id.

    Raises:
        DataError: no case has a known answer, or every group exceeds the limit.
    """
    wanted = pc.and_(pc.equal(cases["split"], split), pc.is_valid(cases["label_id"]))
    chosen = cases.filter(wanted).sort_by("case_id")
    if not chosen.num_rows:
        raise DataError(
            f"expected {split} cases with a known answer, found none; see cases.*_fraction"
        )
    if max_cases is None or chosen.num_rows <= max_cases:
        return chosen
    sizes = Counter(chosen["group_id"].to_pylist())
    groups = np.random.default_rng(seed).permutation(sorted(sizes)).tolist()
    kept, total = [], 0
    for group in groups:
        if total + sizes[group] <= max_cases:
            kept.append(group)
            total += sizes[group]
    if not kept:
        raise DataError(
            f"{setting}={max_cases} is smaller than every group (found {len(sizes)} groups, the "
            f"smallest has {min(sizes.values())} cases), and groups are not split; set it to at "
            f"least {min(sizes.values())}"
        )
    return chosen.filter(pc.is_in(chosen["group_id"], pa.array(kept)))
