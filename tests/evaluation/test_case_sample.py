"""Samples of cases: few per group, with the shares of the whole, whatever the size of a group."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.config.config import Config
from mint_ray.errors import DataError
from mint_ray.evaluation.case_sample import SampledFrom, choose_cases, halve_groups, sampled_from


def make_cases(groups: list[str], seen: list[bool], split: str = "test") -> pa.Table:
    n = len(groups)
    return pa.table(
        {
            "case_id": [f"c{i:04d}" for i in range(n)],
            "group_id": groups,
            "split": [split] * n,
            "label_id": ["OMIM:1"] * n,
            "seen": seen,
        }
    )


def skewed() -> pa.Table:
    """Two large groups of unseen labels among many small ones, most of them seen; and a mixed one.

    480 cases, 245 of them unseen: 120 + 90 in large groups, 30 alone, 5 in the mixed group.
    """
    unseen = ["big"] * 120 + ["large"] * 90 + [f"u{i}" for i in range(30)] + ["mixed"] * 5
    seen = ["mixed"] * 5 + [f"s{i // 2}" for i in range(230)]
    return make_cases(unseen + seen, [False] * len(unseen) + [True] * len(seen))


def share_of_unseen(cases: pa.Table) -> float:
    return 1 - float(np.mean(cases["seen"].to_pylist()))


@pytest.mark.parametrize("max_per_group", [None, 10])
@pytest.mark.parametrize("max_cases", [40, 100])
def test_a_sample_has_the_shares_of_the_whole(max_cases: int, max_per_group: int | None) -> None:
    whole = choose_cases(skewed(), None, seed=0, max_per_group=max_per_group)
    for seed in range(20):
        drawn = choose_cases(skewed(), max_cases, seed, max_per_group=max_per_group)
        assert drawn.num_rows == max_cases
        assert share_of_unseen(drawn) == pytest.approx(share_of_unseen(whole), abs=0.02)
        assert max(Counter(drawn["group_id"].to_pylist()).values()) <= (max_per_group or 120)


def test_whether_a_group_is_drawn_does_not_depend_on_its_size() -> None:
    groups = [f"g{i // 10}" for i in range(200)] + [f"h{i}" for i in range(200)]
    cases, drawn = make_cases(groups, [True] * 400), Counter[str]()
    n_seeds = 200
    for seed in range(n_seeds):
        for group in set(choose_cases(cases, 60, seed)["group_id"].to_pylist()):
            drawn[group[0]] += 1
    # 20 groups of ten cases, 200 groups of one.
    large, small = drawn["g"] / 20 / n_seeds, drawn["h"] / 200 / n_seeds
    assert large == pytest.approx(small, abs=0.03)


def test_a_group_keeps_random_cases_up_to_the_limit() -> None:
    cases = make_cases(["a"] * 30 + ["b"] * 2, [True] * 32)
    chosen = choose_cases(cases, None, seed=0, max_per_group=5)
    assert Counter(chosen["group_id"].to_pylist()) == {"a": 5, "b": 2}
    assert chosen["case_id"].to_pylist() == sorted(chosen["case_id"].to_pylist())
    assert chosen.equals(choose_cases(cases, None, seed=0, max_per_group=5))
    kept = {
        tuple(choose_cases(cases, None, s, max_per_group=5)["case_id"].to_pylist()) for s in (1, 2)
    }
    assert len(kept | {tuple(chosen["case_id"].to_pylist())}) == 3
    assert choose_cases(cases, None, seed=0).num_rows == 32


def test_the_same_cases_are_drawn_whatever_their_order() -> None:
    cases = skewed()
    turned = cases.take(pa.array(range(cases.num_rows - 1, -1, -1)))
    first, second = (choose_cases(table, 50, 3, max_per_group=4) for table in (cases, turned))
    assert first.equals(second)


def test_only_cases_of_the_split_with_a_known_answer() -> None:
    cases = make_cases(["a", "b"], [True, True])
    unlabelled = cases.set_column(3, "label_id", pa.array(["OMIM:1", None], pa.string()))
    assert choose_cases(unlabelled, None, seed=0)["case_id"].to_pylist() == ["c0000"]
    with pytest.raises(DataError, match="expected validation cases"):
        choose_cases(cases, None, seed=0, split="validation")


def test_the_limit_is_for_patients_by_default() -> None:
    patients = Config.model_validate({"cases": {"folds": 4, "fold": 1}, "seed": 3})
    tiles = Config.model_validate({"task": "tissue", "cases": {"source": "tiles"}})
    assert sampled_from(patients, "test") == SampledFrom("test", 3, 1, 4, 10)
    assert sampled_from(tiles, "validation") == SampledFrom("validation", 0)
    assert sampled_from(tiles, "test").describe() == "test split, seed 0"
    free = Config.model_validate({"evaluation": {"max_cases_per_group": None}})
    assert sampled_from(free, "test").cases_per_group is None


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_cases_per_group"):
        Config.model_validate({"evaluation": {"max_cases_per_group": 0}})


def test_halves_share_no_group_and_lose_no_case() -> None:
    cases = skewed()
    first, second = halve_groups(cases, 3)
    groups = [set(half["group_id"].to_pylist()) for half in (first, second)]
    assert not groups[0] & groups[1]
    assert abs(len(groups[0]) - len(groups[1])) <= 1
    assert sorted([*first["case_id"].to_pylist(), *second["case_id"].to_pylist()]) == sorted(
        cases["case_id"].to_pylist()
    )
    assert first.equals(halve_groups(cases, 3)[0])
    assert not first.equals(halve_groups(cases, 4)[0])


def test_one_group_has_no_halves() -> None:
    with pytest.raises(DataError, match=r"two groups.*found 1"):
        halve_groups(make_cases(["only"] * 3, [True] * 3), 0)
