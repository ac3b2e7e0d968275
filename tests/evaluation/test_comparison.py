"""Evaluations that are joined: names, refusals, and paired differences against a reference."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.errors import DataError
from mint_ray.evaluation.comparison import (
    Evaluated,
    compared_outcomes,
    join_evaluations,
    paired_differences,
    write_differences,
)
from mint_ray.evaluation.measurement import Measurement, measure_answers
from mint_ray.evaluation.metrics.compute import COMPARED, evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes, index_cases
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.tasks.task import TASKS
from tests.evaluation.conftest import NAMES, PRIMARY, Row, predictions_of
from tests.evaluation.evaluated import cases_of_one_answer

IDS = ["a", "b", "c", "d"]


def evaluated(*rows: Row, tested: int = 4, **names: str) -> Evaluated:
    return Evaluated(predictions_of(list(rows)), names, tested)


def row(case: str, system: str, label: str = "OMIM:1") -> Row:
    return (case, system, 1, label, NAMES[label][0], 1.0)


def test_systems_get_their_names_in_the_comparison() -> None:
    answers = join_evaluations(
        {
            "slow": evaluated(row("a", "dpo"), row("b", "dpo_generated"), dpo="slow"),
            "fast": evaluated(row("a", "dpo", "OMIM:2"), row("a", "dpo_stain"), dpo="fast"),
            "look_ups": evaluated(
                row("a", "majority"),
                row("b", "base"),
                row("b", "mean_colour"),
                majority="majority",
                base="base",
            ),
        },
        IDS,
        ["b"],
    )
    assert list(answers.systems) == ["slow", "fast", "majority", "base"]
    assert [run.name for run in answers.runs] == [
        "slow",
        "slow_generated",
        "fast",
        "majority",
        "base",
        "fast_stain",
    ]
    rows = {(r["system"], r["case_id"]): r["label_id"] for r in answers.predictions.to_pylist()}
    assert (rows[("slow", "a")], rows[("fast", "a")]) == ("OMIM:1", "OMIM:2")
    assert answers.free_cases == {"b"}


@pytest.mark.parametrize(
    ("rows", "tested", "message"),
    [
        ([row("a", "dpo")], 3, "4 tested cases .* one of 3 with 0 other cases"),
        ([row("a", "dpo"), row("z", "dpo")], 4, "with 1 other cases, such as z"),
        ([row("a", "sft")], 4, "expected predictions of pulled, found none"),
    ],
)
def test_an_evaluation_of_other_cases_is_refused_by_name(
    rows: list[Row], tested: int, message: str
) -> None:
    whole = evaluated(*(row(case, "orpo") for case in IDS), orpo="orpo")
    other = evaluated(*rows, tested=tested, dpo="pulled")
    with pytest.raises(DataError, match=rf"compare\.systems\.other: .*{message}"):
        join_evaluations({"orpo": whole, "other": other}, IDS)


def test_cases_that_a_system_could_not_rank_may_be_missing() -> None:
    whole = evaluated(*(row(case, "orpo") for case in IDS), orpo="orpo")
    partial = evaluated(row("b", "dpo"), dpo="dpo")
    assert join_evaluations({"orpo": whole, "dpo": partial}, IDS).predictions.num_rows == 5


def test_a_system_that_could_rank_no_case_has_missed_them_all() -> None:
    whole = evaluated(*(row(case, "orpo") for case in IDS), orpo="orpo")
    silent = replace(evaluated(rag="rag"), measured=frozenset({"rag"}))
    answers = join_evaluations({"orpo": whole, "rag": silent}, IDS)
    assert list(answers.systems) == ["orpo", "rag"]
    assert [run.name for run in answers.runs] == ["orpo", "rag"]
    assert answers.predictions.num_rows == 4


@pytest.fixture
def measurement(cases: EvaluatedCases, outcomes: dict[str, Outcomes]) -> Measurement:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    return Measurement(cases, outcomes, metrics)


def test_differences_are_those_of_the_metrics_by_stratum(measurement: Measurement) -> None:
    metrics = measurement.metrics
    found = paired_differences(measurement.outcomes, measurement.cases, "orpo", samples=200, seed=0)
    assert list(found) == ["teacher"]
    assert list(found["teacher"]) == ["all", "seen", "unseen"]
    for stratum, item in found["teacher"].items():
        assert list(item.metrics) == list(COMPARED)
        for name, value in item.metrics.items():
            first = metrics["teacher"][stratum][name]
            second = metrics["orpo"][stratum][name]
            assert first["value"] is not None
            assert second["value"] is not None
            assert value["value"] == pytest.approx(first["value"] - second["value"])
            assert value["n"] == first["n"]
            assert value["low"] is not None
            assert value["high"] is not None
            assert value["low"] <= value["value"] <= value["high"]
    # The teacher alone is right on b (seen) and c (unseen), neither on d, both on a.
    tests = {name: item.mcnemar for name, item in found["teacher"].items()}
    assert (tests["all"].only_first, tests["all"].only_second, tests["all"].p_value) == (2, 0, 0.5)
    assert (tests["seen"].only_first, tests["seen"].p_value) == (1, 1.0)


def test_a_stratum_without_cases_has_no_differences(
    predictions: pa.Table, case_table: pa.Table
) -> None:
    seen = index_cases(case_table.slice(0, 2), PRIMARY, NAMES)
    outcomes = collect_outcomes(predictions, seen, top_k=2)
    found = paired_differences(outcomes, seen, "teacher", samples=100, seed=0)
    assert list(found["orpo"]) == ["all", "seen"]


def test_a_system_that_answers_like_the_reference_differs_by_nothing(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    twins = {"orpo": outcomes["orpo"], "orpo_l0": outcomes["orpo"]}
    item = paired_differences(twins, cases, "orpo", samples=100, seed=0)["orpo_l0"]["all"]
    gaps = {(gap["low"], gap["value"], gap["high"]) for gap in item.metrics.values()}
    assert gaps == {(0.0, 0.0, 0.0)}
    assert item.mcnemar.p_value == 1.0


def test_an_interval_is_that_of_resampled_groups(cases: EvaluatedCases) -> None:
    """Against a bootstrap written out, on many groups."""
    rng = np.random.default_rng(3)
    n = 120
    groups = rng.integers(0, 40, n)
    many = cases_of_one_answer(cases, groups)
    rights = {name: rng.random(n) < share for name, share in (("orpo", 0.4), ("sft", 0.6))}
    rows = [
        row(str(case), name, "OMIM:1" if rights[name][case] else "OMIM:2")
        for name in rights
        for case in range(n)
    ]
    outcomes = collect_outcomes(predictions_of(rows), many, 1)
    found = paired_differences(outcomes, many, "orpo", samples=4000, seed=0)
    gaps = rights["sft"].astype(float) - rights["orpo"]
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    resampled = [
        gaps[
            np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        ].mean()
        for _ in range(4000)
    ]
    value = found["sft"]["all"].metrics["top1"]
    assert value["value"] == pytest.approx(gaps.mean())
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert value["low"] == pytest.approx(low, abs=0.02)
    assert value["high"] == pytest.approx(high, abs=0.02)


def test_free_answers_are_measured_apart_and_not_held_against_the_reference(
    case_table: pa.Table,
) -> None:
    rows = [row(case, "dpo") for case in IDS]
    evaluations = {
        "orpo": evaluated(*rows, row("a", "dpo_generated"), dpo="orpo"),
        "sft": evaluated(*rows, dpo="sft"),
    }
    catalogue = Catalogue(Label(i, n[0], (i,), n[1:], ()) for i, n in NAMES.items())
    measured = measure_answers(
        join_evaluations(evaluations, IDS, ["a"]),
        case_table,
        catalogue,
        settings=EvaluationConfig(bootstrap_samples=100),
        seed=0,
        task=TASKS["disease"],
    )
    assert measured.metrics["orpo_generated"]["all"]["top1"]["n"] == 1
    assert list(compared_outcomes(measured)) == ["sft", "orpo"]


def test_the_file_of_differences_is_plain_json(measurement: Measurement, tmp_path: Path) -> None:
    outcomes, cases = measurement.outcomes, measurement.cases
    differences = paired_differences(outcomes, cases, "orpo", samples=100, seed=0)
    file = tmp_path / "differences.json"
    write_differences(file, "orpo", differences)
    tree = json.loads(file.read_text())
    assert tree["reference"] == "orpo"
    found = tree["differences"]["teacher"]["all"]
    assert found["metrics"]["top1"]["value"] == 0.5
    assert found["mcnemar"] == {"only_first": 2, "only_second": 0, "p_value": 0.5}
