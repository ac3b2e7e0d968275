"""From scores to chosen and rejected labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.config.preferences import PreferencesConfig
from mint_ray.errors import ConfigError
from mint_ray.preferences.select import best_labels, check_catalogue_size, rank_pairs, worst_labels

SCORES = np.log(np.array([0.05, 0.4, 0.1, 0.25, 0.15, 0.03, 0.02], dtype=np.float32))
# best to worst: 1, 3, 4, 2, 0, 5, 6


def config(**settings: object) -> PreferencesConfig:
    return PreferencesConfig.model_validate({"chosen_size": 2, "rejected_size": 2, **settings})


@pytest.mark.parametrize(
    ("gold", "known", "chosen"),
    [("keep", 3, (1, 3)), ("keep", 0, (1, 3)), ("first", 0, (0, 1)), ("none", 1, (3, 4))],
)
def test_the_known_answer_in_chosen(gold: str, known: int, chosen: tuple[int, ...]) -> None:
    assert rank_pairs(SCORES, known, config(gold=gold), "c").pairs[0].chosen == chosen


@pytest.mark.parametrize(("order", "rejected"), [("worst_first", (6, 5)), ("worst_last", (5, 6))])
def test_order_of_the_rejected(order: str, rejected: tuple[int, ...]) -> None:
    assert rank_pairs(SCORES, None, config(order=order), "c").pairs[0].rejected == rejected


def test_the_known_answer_is_never_rejected() -> None:
    pair = rank_pairs(SCORES, 6, config(), "c").pairs[0]
    assert pair.rejected == (5, 0)
    assert pair.candidates == (1, 3, 5, 0, 6)


def test_rejected_sets_take_the_next_worst() -> None:
    pairs = rank_pairs(SCORES, None, config(rejected_sets=2), "c").pairs
    assert [pair.rejected for pair in pairs] == [(6, 5), (0, 2)]


@pytest.mark.parametrize("gold", ["keep", "first", "none"])
@pytest.mark.parametrize("known", [None, 1, 6])
def test_the_worst_labels_are_those_that_the_pairs_reject(gold: str, known: int | None) -> None:
    made = config(gold=gold, rejected_sets=2, order="shuffled")
    pairs = rank_pairs(SCORES, known, made, "c").pairs
    rejected = [label for pair in pairs for label in pair.rejected]
    assert sorted(worst_labels(SCORES, known, made, "c").tolist()) == sorted(rejected)
    assert best_labels(SCORES, made, "c").tolist() == [1, 3]


def test_shuffled_order_depends_on_the_case_alone() -> None:
    shuffled = config(order="shuffled", rejected_size=4)
    first = rank_pairs(SCORES, None, shuffled, "a").pairs[0].rejected
    assert first == rank_pairs(SCORES, None, shuffled, "a").pairs[0].rejected
    others = {rank_pairs(SCORES, None, shuffled, str(i)).pairs[0].rejected for i in range(20)}
    assert len(others) > 1
    assert all(sorted(names) == sorted(first) for names in others)


@pytest.mark.parametrize(
    ("scores", "settings", "reason"),
    [
        (np.full(7, np.nan, np.float32), {}, "teacher_not_finite"),
        (SCORES, {"min_confidence": 0.5}, "low_confidence"),
    ],
)
def test_no_pair_has_a_reason(scores: np.ndarray, settings: dict[str, object], reason: str) -> None:
    ranking = rank_pairs(scores, 0, config(**settings), "c")
    assert (ranking.pairs, ranking.reason) == ((), reason)


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({"gold": "keep"}, 4),
        ({"gold": "first"}, 4),
        ({"gold": "none"}, 5),  # the known answer is in neither list
        ({"gold": "keep", "rejected_size": 1}, 4),  # or nothing might be left to reject
        ({"gold": "first", "rejected_size": 1}, 3),
        ({"gold": "first", "rejected_sets": 3}, 8),
    ],
)
def test_a_small_catalogue_is_refused_before_work(changes: dict[str, object], least: int) -> None:
    with pytest.raises(ConfigError, match=f"at least {least} labels, found {least - 1}"):
        check_catalogue_size(least - 1, config(**changes))
    check_catalogue_size(least, config(**changes))


@settings(deadline=None)
@given(
    st.lists(st.floats(-50, 0, width=32), min_size=8, max_size=8),
    st.none() | st.integers(0, 7),
    st.sampled_from([(4, 4, 1), (4, 2, 2), (2, 3, 2), (7, 1, 1), (2, 2, 3)]),
    st.sampled_from(["keep", "first", "none"]),
)
def test_a_catalogue_may_be_named_whole(
    scores: list[float], gold: int | None, sizes: tuple[int, int, int], how: str
) -> None:
    chosen, rejected, sets = sizes
    made = config(chosen_size=chosen, rejected_size=rejected, rejected_sets=sets, gold=how)
    try:
        check_catalogue_size(8, made)
    except ConfigError:
        return
    *others, last = rank_pairs(np.array(scores, np.float32), gold, made, "c").pairs
    assert len(last.chosen) == chosen
    assert not set(last.chosen) & set(last.rejected)
    assert all(len(pair.rejected) == rejected for pair in others)
    short = gold is not None and gold not in last.chosen and how == "keep"
    assert len(last.rejected) == rejected - short >= 1


@settings(deadline=None)  # a busy machine takes its time
@given(
    st.lists(st.floats(-50, 0, width=32), min_size=14, max_size=20),
    st.integers(0, 13),
    st.sampled_from(["keep", "first", "none"]),
    st.sampled_from(["worst_last", "worst_first", "shuffled"]),
)
def test_lists_are_disjoint_and_full(scores: list[float], gold: int, how: str, order: str) -> None:
    made = config(chosen_size=4, rejected_size=4, rejected_sets=2, gold=how, order=order)
    for pair in rank_pairs(np.array(scores, np.float32), gold, made, "c").pairs:
        assert len(set(pair.chosen)) == len(set(pair.rejected)) == 4
        assert not set(pair.chosen) & set(pair.rejected)
        assert gold not in pair.rejected
        assert gold in pair.candidates


FLOOR = float(np.float32(np.log(0.01)))
PARTIAL = np.array([FLOOR, np.log(0.5), FLOOR, np.log(0.3), FLOOR, FLOOR, FLOOR], np.float32)


def test_only_answered_labels_are_chosen() -> None:
    pair = rank_pairs(PARTIAL, 0, config(chosen_size=4), "c", FLOOR).pairs[0]
    assert pair.chosen == (1, 3)
    assert rank_pairs(PARTIAL, 0, config(gold="first"), "c", FLOOR).pairs[0].chosen == (0, 1)


def test_unanswered_labels_are_rejected_at_random_and_counted() -> None:
    rejected = [
        rank_pairs(PARTIAL, 6, config(rejected_size=3), str(n), FLOOR).pairs[0] for n in range(40)
    ]
    assert {label for pair in rejected for label in pair.rejected} == {0, 2, 4, 5}
    assert all(pair.n_unanswered == 3 for pair in rejected)
    wide = rank_pairs(PARTIAL, 6, config(chosen_size=1, rejected_size=5), "c", FLOOR).pairs[0]
    assert wide.rejected[-1] == 3  # the worst answered label comes after those without an answer
    assert wide.n_unanswered == 4


def test_a_teacher_that_answers_for_all_has_no_unanswered_label() -> None:
    assert rank_pairs(SCORES, 6, config(), "c").pairs[0].n_unanswered == 0


@pytest.mark.parametrize(("gold", "known"), [("keep", 1), ("none", 4)])
def test_a_case_without_a_label_to_choose_has_a_reason(gold: str, known: int) -> None:
    one = np.where(np.arange(7) == 4, np.float32(np.log(0.5)), np.float32(FLOOR))
    scores = np.full(7, np.float32(FLOOR)) if gold == "keep" else one
    assert rank_pairs(scores, known, config(gold=gold), "c", FLOOR).reason == "nothing_answered"
