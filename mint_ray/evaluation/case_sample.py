"""Which cases are ranked where not all of them can be."""

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
    """Cases of a split with a known answer; whole groups, drawn with the seed, up to `max_cases`.

    A group that alone would exceed the limit is passed over.

    Args:
        setting: name of the limit, for the message.

    Raises:
        DataError: there is none.
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
            f"{setting}={max_cases}: expected at least the cases of one group, found "
            f"none of so few among {len(sizes)} groups of {min(sizes.values())} or more; raise it"
        )
    return chosen.filter(pc.is_in(chosen["group_id"], pa.array(kept)))
