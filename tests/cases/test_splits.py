from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.cases.schema import blank_case
from mint_ray.cases.splits import (
    assign_folds,
    assign_splits,
    check_no_leakage,
    join_groups,
    leave_out_rare,
    split_cases,
)
from mint_ray.config.cases import CasesConfig
from mint_ray.errors import DataError


def make(case_id, label="L", publications=(), group=None):
    return {
        "case_id": case_id,
        "group_id": group or case_id,
        "label_id": label,
        "publications": list(publications),
        "split": None,
        "seen": None,
    }


def own_groups(labels, per_label):
    return [make(f"c{i}", f"L{i % labels}") for i in range(labels * per_label)]


def by_id(cases, field):
    return {case["case_id"]: case[field] for case in cases}


def test_shared_publications_join_directly_and_over_others():
    cases = [
        make("a", publications=["PMID:3", "PMID:2"]),
        make("b", publications=["PMID:9"]),
        make("c", publications=["PMID:1", "PMID:3"]),
        make("d"),
        make("e", publications=["PMID:9", "PMID:10"]),
        make("f", group="slide-7"),
    ]
    expected = {
        "a": "PMID:1",
        "c": "PMID:1",
        "b": "PMID:10",
        "e": "PMID:10",
        "d": "d",
        "f": "slide-7",
    }
    assert by_id(join_groups(cases), "group_id") == expected
    assert by_id(join_groups(cases[::-1]), "group_id") == expected
    assert cases[0]["group_id"] == "a"  # the input is left alone


def test_a_family_joins_the_publications_of_its_members():
    cases = [
        make("a", publications=["PMID:5"], group="family-1"),
        make("b", publications=["PMID:2"], group="family-1"),
        make("c", group="family-1"),
        make("d", publications=["PMID:5"]),
        make("e", publications=["PMID:7"], group="family-2"),
        make("f", group="family-3"),
        make("g", group="family-3"),
        make("h", group="PMID:7"),  # a group that is named after a publication
    ]
    expected = dict.fromkeys("abcd", "PMID:2") | dict.fromkeys("eh", "PMID:7")
    expected |= dict.fromkeys("fg", "family-3")
    grouped = join_groups(cases)
    assert by_id(grouped, "group_id") == expected
    assert by_id(join_groups(cases[::-1]), "group_id") == expected
    assert join_groups(grouped) == grouped


CASES = st.lists(
    st.tuples(
        st.sampled_from("ABCDE"),
        st.lists(st.integers(1, 30).map(str), max_size=3),
        st.none() | st.sampled_from(["family-1", "family-2", "slide", "7"]),
    ),
    min_size=1,
    max_size=40,
).map(lambda rows: [make(f"c{i}", *row) for i, row in enumerate(rows)])


@settings(max_examples=100, deadline=None)
@given(CASES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_nothing_that_is_shared_straddles_splits_whatever_the_order(cases, seed, rng):
    shuffled = rng.sample(cases, len(cases))
    grouped = join_groups(cases)
    try:
        placed = assign_splits(grouped, 0.1, 0.3, seed)
    except DataError:
        assert len({case["group_id"] for case in grouped}) < 5
        return
    check_no_leakage(placed)
    where = defaultdict(set)
    for case, before in zip(placed, cases, strict=True):
        for shared in (before["group_id"], *before["publications"]):
            where[shared].add(case["split"])
    assert all(len(splits) == 1 for splits in where.values())
    again = assign_splits(join_groups(shuffled), 0.1, 0.3, seed)
    assert by_id(again, "split") == by_id(placed, "split")
    trained = {case["label_id"] for case in placed if case["split"] == "train"}
    assert all(case["seen"] == (case["label_id"] in trained) for case in placed)


@pytest.mark.parametrize("by_label", [False, True])
def test_splits_have_their_shares_of_the_groups(by_label):
    placed = assign_splits(own_groups(24, 5), 0.1, 0.2, seed=3, by_label=by_label)
    assert Counter(c["split"] for c in placed) == {"train": 84, "validation": 12, "test": 24}


def test_by_label_each_label_has_its_share():
    placed = assign_splits(own_groups(8, 12), 0.1, 0.2, seed=0, by_label=True)
    found = Counter((case["label_id"], case["split"]) for case in placed)
    tested = [found[f"L{label}", "test"] for label in range(8)]
    validated = [found[f"L{label}", "validation"] for label in range(8)]
    assert set(tested) <= {2, 3}
    assert set(validated) <= {1, 2}
    assert sum(tested) == 19
    assert sum(validated) == 10


SEEDS = 300


def draws_of_groups(cases, by_label):
    """How often each group is a test group and a validation group, over `SEEDS` seeds."""
    counts = {"test": Counter(), "validation": Counter()}
    for seed in range(SEEDS):
        placed = assign_splits(cases, 0.2, 0.2, seed, by_label=by_label)
        for split, count in counts.items():
            count.update({c["group_id"] for c in placed if c["split"] == split})
    return counts


@pytest.mark.parametrize("by_label", [False, True])
def test_a_large_group_is_tested_no_more_often_than_its_share(by_label):
    sizes = [60, 30, *[1] * 18]
    cases = [
        make(f"{group}-{i}", f"L{group % 3}", group=f"g{group}")
        for group, size in enumerate(sizes)
        for i in range(size)
    ]
    counts = draws_of_groups(cases, by_label)
    for split in ("test", "validation"):
        for group in range(20):
            # Four standard deviations of 300 draws with probability 0.2.
            assert counts[split][f"g{group}"] / SEEDS == pytest.approx(0.2, abs=0.093)
        assert counts[split].total() == 4 * SEEDS


def test_whether_a_label_has_training_cases_is_left_to_chance():
    cases = own_groups(labels=50, per_label=2)
    unseen = [
        sum(not c["seen"] for c in assign_splits(cases, 0.1, 0.2, seed) if c["split"] == "test")
        for seed in range(20)
    ]
    # The other case of a test case's label is not a training case with about 29 %.
    assert 3 < sum(unseen) / 20 < 9
    assert len(set(unseen)) > 3


@pytest.mark.parametrize(
    ("n_groups", "expected"),
    [
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (4, {"train": 2, "validation": 1, "test": 1}),
    ],
)
def test_no_split_is_empty_while_there_are_groups(n_groups, expected):
    placed = assign_splits([make(f"c{i}") for i in range(n_groups)], 0.01, 0.02, seed=0)
    assert Counter(case["split"] for case in placed) == expected


def test_the_seed_changes_the_splits():
    first, second = (assign_splits(own_groups(5, 20), 0.1, 0.2, seed) for seed in (0, 1))
    assert by_id(first, "split") != by_id(second, "split")


def test_a_case_without_a_label_is_placed_and_not_seen():
    placed = assign_splits([make(f"c{i}", None) for i in range(10)], 0, 0.5, seed=0)
    assert Counter(case["split"] for case in placed) == {"train": 5, "test": 5}
    assert [case["seen"] for case in placed] == [False] * 10


def test_one_group_cannot_be_trained_on_and_tested_on():
    with pytest.raises(DataError, match="2 cases in 1 groups") as caught:
        assign_splits([make("a", group="g"), make("b", group="g")], 0.1, 0.2, seed=0)
    assert caught.value.counts == {"train": 2, "validation": 0, "test": 0}


def test_a_group_in_two_splits_is_refused():
    rows = [
        {"group_id": "g", "split": "train"},
        {"group_id": "h", "split": "train"},
        {"group_id": "h", "split": None},
    ]
    check_no_leakage(rows)
    with pytest.raises(DataError, match="1 of 2 groups") as caught:
        check_no_leakage([*rows, {"group_id": "g", "split": "validation"}])
    assert caught.value.counts == {"groups_in_several_splits": 1}


def test_folds_test_each_case_once_and_deal_every_label_round():
    cases = own_groups(5, 12)
    tested: Counter[str] = Counter()
    for fold in range(4):
        placed = assign_folds(cases, 4, fold, validation=True, seed=0, by_label=True)
        check_no_leakage(placed)
        tested.update(case["case_id"] for case in placed if case["split"] == "test")
        found = Counter((case["label_id"], case["split"]) for case in placed)
        assert {n for (_, split), n in found.items() if split == "test"} == {3}
        assert {n for (_, split), n in found.items() if split == "train"} == {6}
        again = assign_folds(cases[::-1], 4, fold, validation=True, seed=0, by_label=True)
        assert by_id(again, "split") == by_id(placed, "split")
    assert set(tested.values()) == {1}
    assert len(tested) == 60


def test_folds_of_patients_are_dealt_at_random():
    cases = [make(f"c{i}", f"L{i % 5}", publications=[f"PMID:{i // 2}"]) for i in range(60)]
    config = CasesConfig(source="phenopackets", path="-", folds=4, validation_fraction=0.1)
    tested: Counter[str] = Counter()
    for fold in range(4):
        placed = split_cases(join_groups(cases), config.model_copy(update={"fold": fold}), seed=0)
        check_no_leakage(placed)
        sizes = Counter(case["split"] for case in placed)
        assert sizes["train"] == 60 - sizes["validation"] - sizes["test"]
        assert {sizes["validation"], sizes["test"]} <= {14, 16}
        tested.update(case["case_id"] for case in placed if case["split"] == "test")
    assert set(tested.values()) == {1}
    assert len(tested) == 60


def test_folds_keep_groups_whole():
    cases = [make(f"{g}-{i}", f"L{g % 2}", group=f"g{g}") for g in range(9) for i in range(g + 1)]
    for fold in range(3):
        placed = assign_folds(cases, 3, fold, validation=False, seed=1)
        check_no_leakage(placed)
        assert {case["split"] for case in placed} == {"train", "test"}


def test_settings_choose_how_to_split():
    cases = own_groups(3, 10)
    folds = split_cases(cases, CasesConfig(folds=5, fold=1, validation_fraction=0), 0)
    assert Counter(case["split"] for case in folds) == {"train": 24, "test": 6}
    shares = split_cases(cases, CasesConfig(test_fraction=0.5, validation_fraction=0), 0)
    assert Counter(case["split"] for case in shares) == {"train": 15, "test": 15}


def test_labels_with_too_few_groups_are_left_out_and_named():
    made = [("a", "1", "X"), ("b", "2", "X"), ("c", "1", "Y"), ("d", "1", "Y"), ("e", "3", None)]
    cases = [
        {**blank_case(case_id, "parquet"), "group_id": group, "label_id": label}
        for case_id, group, label in made
    ]
    kept, rejected = leave_out_rare(cases, 2)
    assert [case["case_id"] for case in kept] == ["a", "b", "e"]
    assert [(r.case_id, r.source, r.reason) for r in rejected] == [
        ("c", "parquet", "too_few_groups"),
        ("d", "parquet", "too_few_groups"),
    ]
    assert leave_out_rare(cases, 1) == (cases, [])


def test_groups_without_a_publication_can_be_kept_for_the_test():
    published = [make(f"p{n}", publications=[f"PMID:{n}"]) for n in range(30)]
    relative = make("relative", group="PMID:3")  # of a published family
    others = [make(f"o{n}") for n in range(5)]
    cases = join_groups([*others, *published, relative])
    config = CasesConfig(without_publication="test")
    placed = split_cases(cases, config, seed=0)
    assert [case["case_id"] for case in placed] == [case["case_id"] for case in cases]
    assert all(case["split"] == "test" and case["seen"] for case in placed[:5])
    assert {case["split"] for case in placed[5:]} == {"train", "validation", "test"}
    alone = split_cases(join_groups([*published, relative]), CasesConfig(), seed=0)
    assert by_id(alone, "split").items() <= by_id(placed, "split").items()
