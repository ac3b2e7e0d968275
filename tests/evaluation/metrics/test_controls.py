import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mint_ray.errors import DataError
from mint_ray.evaluation.metrics.controls import (
    colour_features,
    derange,
    expected_by_chance,
    mean_colour_predictions,
)
from tests.evaluation.few_answers import draw

NAMES = {"TISSUE:red": "Red", "TISSUE:blue": "Blue"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.integers(0, 3))
def test_no_case_keeps_its_image(groups: list[int], seed: int) -> None:
    case_ids = [f"c{i}" for i in range(len(groups))]
    donors = derange(case_ids, [f"g{g}" for g in groups], seed)
    assert sorted(donors) == sorted(donors.values()) == sorted(case_ids)
    assert all(case != donor for case, donor in donors.items())
    group = dict(zip(case_ids, groups, strict=True))
    same = sum(group[case] == group[donor] for case, donor in donors.items())
    largest = max(groups.count(g) for g in groups)
    assert same == max(0, 2 * largest - len(groups))


def test_the_seed_decides_who_gets_which_image() -> None:
    case_ids, groups = [f"c{i}" for i in range(60)], [f"g{i // 4}" for i in range(60)]
    first = derange(case_ids, groups, 1)
    assert derange(case_ids, groups, 1) == first
    assert derange(case_ids, groups, 2) != first
    # Cases of one group get images of several.
    assert len({groups[int(first[case][1:])] for case in case_ids[:4]}) > 1
    assert derange(["one"], ["g"], 0) == {}


def test_shuffled_answers_are_right_as_often_as_chance_says() -> None:
    cases, outcome, _, known = draw(n=3000, per_group=3)
    place = {case_id: i for i, case_id in enumerate(cases.case_ids)}
    donors = derange(cases.case_ids, [str(g) for g in cases.groups], 0)
    shuffled = np.array([place[donors[case_id]] for case_id in cases.case_ids])
    right = (outcome.first[shuffled] == known).mean()
    assert right == pytest.approx(expected_by_chance(outcome, cases), abs=0.03)
    assert outcome.correct.mean() > right + 0.2


def tiles(colour: tuple[int, int, int], n: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(colour, 30, size=(n, 24, 24, 3)), 0, 255).astype(np.uint8)
    return [colour_features(Image.fromarray(one)) for one in pixels]


def test_mean_colour_tells_red_from_blue() -> None:
    train = np.array(tiles((200, 60, 60), 8, 0) + tiles((60, 60, 200), 8, 1))
    labels = ["TISSUE:red"] * 8 + ["TISSUE:blue"] * 8
    tested = np.array([*tiles((190, 70, 70), 1, 2), *tiles((70, 70, 190), 1, 3), [np.nan] * 6])
    found = mean_colour_predictions(
        (train, labels),
        (tested, ["a", "b", "c"], ["TISSUE:red", "TISSUE:blue", "TISSUE:red"]),
        NAMES,
        2,
    ).to_pylist()
    first = {row["case_id"]: row["text"] for row in found if row["rank"] == 1}
    assert first == {"a": "Red", "b": "Blue"}
    assert {row["system"] for row in found} == {"mean_colour"}
    assert sum(r["probability"] for r in found if r["case_id"] == "a") == pytest.approx(1)


def test_one_training_label_is_always_answered_and_none_is_an_error() -> None:
    train = np.array(tiles((200, 60, 60), 2, 0))
    case = (train[:1], ["a"], ["TISSUE:blue"])
    found = mean_colour_predictions((train, ["TISSUE:red"] * 2), case, NAMES, 2).to_pylist()
    assert [(row["rank"], row["text"], row["probability"]) for row in found] == [(1, "Red", 1.0)]
    with pytest.raises(DataError, match="usable training image"):
        mean_colour_predictions((train, ["TISSUE:other"] * 2), case, NAMES, 2)


def test_colour_features_are_means_and_deviations() -> None:
    image = Image.new("RGB", (4, 2), (255, 0, 51))
    assert colour_features(image) == pytest.approx([1, 0, 0.2, 0, 0, 0])
