"""Answers of training cases, permuted between those of one known answer: a control."""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Ints
from mint_ray.common.seeds import stable_seed

COLUMNS = ("case_id", "group_id", "label_id")
"""Columns that a permutation needs."""


def answer_rows(pairs: pa.Table, seed: int) -> Ints:
    """Return (n,) the row whose answers each row takes.

    The cases of one known answer stand in random order, those of a group together, and each takes
    the answers of the one that follows as many cases later as the largest group has. So the answers
    are those of another group, unless one group has more than half of the cases. Cases without a
    known answer keep their own, as do those of a known answer that a single group has.

    Args:
        pairs: n rows with `COLUMNS`.
        seed: of the order.
    """
    rows: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(lambda: defaultdict(list))
    columns = (pairs[name].to_pylist() for name in COLUMNS)
    for row, (case, group, label) in enumerate(zip(*columns, strict=True)):
        if label is not None:
            rows[label][group, case].append(row)
    taken = np.arange(pairs.num_rows)
    for of_case in rows.values():
        order = sorted(of_case, key=lambda key: (stable_seed(seed, "permuted", key[0]), key[1]))
        shift = max(Counter(group for group, _ in order).values())
        for place, key in enumerate(order):
            answers = of_case[order[(place + shift) % len(order)]]
            for number, row in enumerate(of_case[key]):
                taken[row] = answers[number % len(answers)]
    return taken
