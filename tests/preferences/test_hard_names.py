"""Rejected names near the chosen ones, and chosen names drawn from the teacher's posterior."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.config.preferences import PreferencesConfig
from mint_ray.errors import ConfigError
from mint_ray.knowledge.names import name_stem
from mint_ray.preferences.schema import scored_schema
from mint_ray.preferences.select import (
    RankedPair,
    best_labels,
    check_catalogue_size,
    rank_pairs,
    worst_labels,
)
from mint_ray.preferences.siblings import NO_SIBLINGS, Siblings
from mint_ray.stages.prefer import write_pairs
from mint_ray.tasks.task import DISEASE
from tests.preferences.conftest import build_pairs

SCORES = np.log(np.array([30, 20, 15, 10, 8, 6, 4, 3, 2, 1, 0.6, 0.4], np.float32) / 100)
# The label 0 has the siblings 6, 9 and 11.
SIBLINGS = Siblings(["Able", *"BCDEF", "Able 2", *"GH", "Able type III", "I", "Able, 4b"])


def pairs_of(known: int | None = None, seed: str = "c", **changes: Any) -> tuple[RankedPair, ...]:
    sizes = {"chosen_size": 2, "rejected_size": 4, "order": "worst_last"}
    config = PreferencesConfig.model_validate({**sizes, **changes})
    return rank_pairs(SCORES, known, config, seed, siblings=SIBLINGS).pairs


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Noonan syndrome 12", "noonan syndrome"),
        ("Noonan syndrome", "noonan syndrome"),
        ("Charcot-Marie-Tooth disease, type 4C", "charcot marie tooth disease"),
        ("Mucopolysaccharidosis IIIA", "mucopolysaccharidosis"),
        ("Muscular dystrophy (congenital), type A, 1", "muscular dystrophy congenital"),
        ("Type 2", "type 2"),
        ("Factor V deficiency", "factor v deficiency"),
    ],
)
def test_the_stem_is_what_precedes_numbers_and_letters(name: str, stem: str) -> None:
    assert name_stem(name) == stem


def test_siblings_are_found_by_the_stem() -> None:
    assert SIBLINGS.of([0]).tolist() == [0, 6, 9, 11]
    assert SIBLINGS.of([1, 11]).tolist() == [0, 1, 6, 9, 11]
    assert NO_SIBLINGS.of([0]).tolist() == []


def test_hard_names_are_the_next_ranks_and_at_most_half_of_them_siblings() -> None:
    [pair] = pairs_of(rejected="hard")
    assert (pair.chosen, pair.rejected) == ((0, 1), (2, 3, 6, 9))
    [single] = pairs_of(rejected="hard", rejected_size=1)
    assert single.rejected == (2,)
    first, second = pairs_of(rejected="hard", rejected_sets=2)
    assert (first.rejected, second.rejected) == ((2, 3, 6, 9), (4, 5, 7, 11))
    [pair] = pairs_of(2, rejected="hard")
    assert pair.rejected == (3, 4, 6, 9)  # never the known answer


def test_a_better_ranked_name_than_the_known_one_is_hard() -> None:
    [pair] = pairs_of(4, rejected="hard", gold="first", chosen_size=1, rejected_size=2)
    assert (pair.chosen, pair.rejected) == ((4,), (0, 1))


def test_mixed_sets_are_half_hard_and_half_worst() -> None:
    first, second = pairs_of(rejected="mixed", rejected_sets=2)
    assert (first.rejected, second.rejected) == ((2, 6, 10, 11), (3, 7, 8, 9))


def test_mixed_sets_of_a_single_name_are_drawn() -> None:
    drawn = [
        pairs_of(seed=str(n), rejected="mixed", rejected_size=1)[0].rejected for n in range(50)
    ]
    assert set(drawn) == {(2,), (11,)}
    again = [
        pairs_of(seed=str(n), rejected="mixed", rejected_size=1)[0].rejected for n in range(50)
    ]
    assert drawn == again


def test_coverage_and_avoidance_keep_the_worst_names() -> None:
    config = PreferencesConfig(chosen_size=2, rejected_size=3, rejected="hard", chosen="drawn")
    assert worst_labels(SCORES, 10, config, "c").tolist() == [11, 9, 8]
    assert best_labels(SCORES, config, "c").tolist() == [0, 1]


def test_drawn_names_follow_the_posterior() -> None:
    firsts = Counter(pairs_of(seed=str(n), chosen="drawn")[0].chosen[0] for n in range(2000))
    assert firsts[0] / 2000 == pytest.approx(0.3, abs=0.04)
    assert firsts[3] / 2000 == pytest.approx(0.1, abs=0.03)
    assert pairs_of(chosen="drawn") == pairs_of(chosen="drawn")


def test_drawn_names_keep_the_known_answer_first_and_leave_the_unanswered() -> None:
    made = PreferencesConfig(
        chosen_size=3, rejected_size=2, chosen="drawn", gold="first", rejected="hard"
    )
    floor = float(np.float32(-9))
    scores = np.array([np.log(0.5), np.log(0.3), np.log(0.1), *[floor] * 7], np.float32)
    for n in range(20):
        [pair] = rank_pairs(scores, 7, made, str(n), floor).pairs
        assert pair.chosen[0] == 7
        assert set(pair.chosen[1:]) < {0, 1, 2}
        assert not set(pair.rejected) & {0, 1, 7}  # the best are no mistakes


@settings(deadline=None)
@given(
    st.lists(st.floats(-50, 0, width=32), min_size=8, max_size=8),
    st.none() | st.integers(0, 7),
    st.sampled_from([(4, 4, 1), (4, 2, 2), (2, 3, 2), (7, 1, 1), (2, 2, 3), (2, 1, 3), (1, 5, 1)]),
    st.tuples(
        st.sampled_from(["keep", "first", "none"]),
        st.sampled_from(["hard", "mixed"]),
        st.sampled_from(["best", "drawn"]),
    ),
)
def test_sets_are_full_and_share_no_name(
    scores: list[float], gold: int | None, sizes: tuple[int, int, int], how: tuple[str, str, str]
) -> None:
    made = PreferencesConfig.model_validate(
        dict(zip(("chosen_size", "rejected_size", "rejected_sets"), sizes, strict=True))
        | dict(zip(("gold", "rejected", "chosen"), how, strict=True))
    )
    try:
        check_catalogue_size(8, made)
    except ConfigError:
        return
    array = np.array(scores, np.float32)
    siblings = Siblings(["Axe 1", "Axe 2", "Y", "Axe 3", "Zoo 1", "Zoo 2", "Axe 4", "V"])
    pairs = rank_pairs(array, gold, made, "c", siblings=siblings).pairs
    names = [label for pair in pairs for label in pair.rejected]
    short = gold is not None and gold not in pairs[0].chosen and made.gold == "keep"
    assert len(names) == len(set(names)) >= made.rejected_size * made.rejected_sets - short
    assert not set(names) & {gold, *pairs[0].chosen}


def test_pairs_of_a_catalogue_have_hard_names() -> None:
    [worst] = build_pairs([{}])
    [hard] = build_pairs([{}], rejected="hard")
    least = min(hard["pairs"][0]["rejected_scores"])
    assert least > max(worst["pairs"][0]["rejected_scores"])
    assert hard["pairs"][0]["chosen_labels"] == worst["pairs"][0]["chosen_labels"]


def test_the_share_of_frequent_rejected_names_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mint_ray.stages.prefer.N_FREQUENT", 1)
    rows = build_pairs([{}, {"terms": ["HP:00012501"]}, {}])
    labels = Counter(name for row in rows for name in row["pairs"][0]["rejected_labels"])
    scored = [pa.Table.from_pylist(rows, scored_schema(DISEASE))]
    written = write_pairs(scored, tmp_path / "cases.parquet", tmp_path, DISEASE)
    assert written.frequent_share == max(labels.values()) / 6
