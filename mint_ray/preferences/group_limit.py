"""Training cases that a limit of cases per group and answer leaves without pairs."""

from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq

from mint_ray.common.seeds import stable_seed

REASON = "above_group_limit"


def above_limit(cases: Path, limit: int | None, seed: int) -> frozenset[str]:
    """Return the ids of the training cases that a limit leaves out.

    Of each group, `limit` cases of each known answer stay, drawn at random; cases without a known
    answer count as those of one answer.

    Args:
        cases: the case table.
        limit: largest number of cases that stay; None for all.
        seed: of the draw, which depends on it and on the ids of the cases alone.
    """
    if limit is None:
        return frozenset()
    columns = ["case_id", "group_id", "label_id", "split"]
    alike = defaultdict(list)
    for row in pq.read_table(cases, columns=columns).to_pylist():
        if row["split"] == "train":
            alike[row["group_id"], row["label_id"]].append(row["case_id"])
    return frozenset(
        case_id
        for ids in alike.values()
        for case_id in sorted(ids, key=lambda i: stable_seed(seed, "group_limit", i))[limit:]
    )
