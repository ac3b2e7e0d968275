"""Evaluations that are joined: names, refusals, and paired differences against a reference."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.common.files import read_json
from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.errors import DataError
from mint_ray.evaluation.comparison import (
    Evaluated,
    compared_systems,
    differences_from,
    join_evaluations,
    write_differences,
)
from mint_ray.evaluation.measurement import Measurement, measure_answers
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.tasks.task import TASKS
from tests.evaluation.conftest import NAMES, Row, predictions_of

IDS = ["a", "b", "c", "d"]
DRAWN = {"split": "test", "seed": 0}


def evaluated(*rows: Row, student: str = "dpo", tested: int = 4) -> Evaluated:
    return Evaluated(predictions_of(list(rows)), student, "cases-1", tested, DRAWN)


def row(case: str, system: str, label: str = "OMIM:1") -> Row:
    return (case, system, 1, label, NAMES[label][0], 1.0)


def test_a_student_gets_the_name_of_its_system() -> None:
    answers = join_evaluations(
        {
            "slow": evaluated(row("a", "dpo"), row("b", "dpo_generated")),
            "fast": evaluated(row("a", "dpo", "OMIM:2"), row("a", "dpo_stain")),
            "look_ups": evaluated(row("a", "majority"), row("b", "base")),
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


def test_systems_that_ranked_other_cases_are_refused_by_both_names() -> None:
    one = evaluated(row("a", "dpo"))
    fewer = dataclasses.replace(one, tested=3)
    with pytest.raises(DataError, match=r"slow ranked 4 of cases-1 .*fast 3 of cases-1"):
        join_evaluations({"slow": one, "fast": fewer}, IDS)
    elsewhere = dataclasses.replace(one, cases="cases-2")
    with pytest.raises(DataError, match=r"slow ranked 4 of cases-1 .*fast 4 of cases-2"):
        join_evaluations({"slow": one, "fast": elsewhere}, IDS)
    drawn = dataclasses.replace(one, drawn={"split": "test", "seed": 1})
    with pytest.raises(DataError, match=r"'seed': 0.*fast .*'seed': 1"):
        join_evaluations({"slow": one, "fast": drawn}, IDS)


def test_a_case_that_is_not_tested_is_refused() -> None:
    with pytest.raises(DataError, match=r"slow ranked 1 cases that are not .*, for instance z"):
        join_evaluations({"slow": evaluated(row("a", "dpo"), row("z", "dpo"))}, IDS)


def test_two_systems_of_one_name_are_refused() -> None:
    two = {
        "slow": evaluated(row("a", "dpo"), row("a", "base")),
        "look_ups": evaluated(row("a", "base")),
    }
    with pytest.raises(DataError, match=r"evaluations of slow and look_ups both rank base"):
        join_evaluations(two, IDS)


@pytest.fixture
def measurement(cases: EvaluatedCases, outcomes: dict[str, Outcomes]) -> Measurement:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    return Measurement(cases, outcomes, metrics)


def test_differences_are_those_of_the_metrics_by_stratum(measurement: Measurement) -> None:
    differences = differences_from(measurement, "orpo", samples=200, seed=0)
    assert list(differences) == ["teacher"]
    found, metrics = differences["teacher"], measurement.metrics
    for stratum in ("all", "seen", "unseen"):
        named = found.by_stratum[stratum]
        assert {
            f"{name}{end}" for name in ("top1", "top3", "top10", "mrr") for end in ("", "_macro")
        } == set(named)
        for name, value in named.items():
            first = metrics["teacher"][stratum][name]
            second = metrics["orpo"][stratum][name]
            assert first["value"] is not None
            assert second["value"] is not None
            assert value["value"] == pytest.approx(first["value"] - second["value"])
            assert value["n"] == first["n"]
            assert value["low"] is not None
            assert value["high"] is not None
            assert value["low"] <= value["value"] <= value["high"]
    # The teacher alone is right on b and c, neither on d, both on a.
    assert (found.mcnemar.only_first, found.mcnemar.only_second) == (2, 0)
    assert found.mcnemar.p_value == 0.5


def test_an_interval_is_that_of_resampled_groups(cases: EvaluatedCases) -> None:
    """Against a bootstrap written out, on many groups."""
    rng = np.random.default_rng(3)
    n = 120
    groups = rng.integers(0, 40, n)
    many = dataclasses.replace(
        cases,
        case_ids=tuple(map(str, range(n))),
        groups=groups,
        known=np.zeros(n, dtype=np.int64),
        known_ids=("OMIM:1",) * n,
        known_names=(("Alpha syndrome",),) * n,
        strata={"all": np.ones(n, dtype=np.bool_)},
    )
    rights = {name: rng.random(n) < share for name, share in (("orpo", 0.4), ("sft", 0.6))}
    rows = [
        row(str(case), name, "OMIM:1" if rights[name][case] else "OMIM:2")
        for name in rights
        for case in range(n)
    ]
    outcomes = collect_outcomes(predictions_of(rows), many, 1)
    metrics = evaluate(outcomes, many, bins=10, samples=100, seed=0)
    found = differences_from(Measurement(many, outcomes, metrics), "orpo", samples=4000, seed=0)
    gaps = rights["sft"].astype(float) - rights["orpo"]
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    resampled = [
        gaps[
            np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        ].mean()
        for _ in range(4000)
    ]
    value = found["sft"].by_stratum["all"]["top1"]
    assert value["value"] == pytest.approx(gaps.mean())
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert value["low"] == pytest.approx(low, abs=0.02)
    assert value["high"] == pytest.approx(high, abs=0.02)


def test_a_reference_without_answers_is_refused(measurement: Measurement) -> None:
    with pytest.raises(DataError, match=r"compare\.reference=dpo: .*answers of orpo, teacher"):
        differences_from(measurement, "dpo", samples=100, seed=0)


def test_free_answers_are_measured_apart_and_not_held_against_the_reference(
    case_table: pa.Table,
) -> None:
    rows = [row(case, "dpo") for case in IDS]
    evaluations = {
        "orpo": evaluated(*rows, row("a", "dpo_generated")),
        "sft": evaluated(*rows),
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
    assert compared_systems(measured) == ["sft", "orpo"]


def test_the_file_of_differences_is_plain_json(measurement: Measurement, tmp_path: Path) -> None:
    differences = differences_from(measurement, "orpo", samples=100, seed=0)
    file = tmp_path / "differences.json"
    write_differences(file, "orpo", differences)
    tree = read_json(file)
    assert tree["reference"] == "orpo"
    assert tree["differences"]["teacher"]["all"]["top1"]["value"] == 0.5
    assert tree["mcnemar"] == {"teacher": {"only_system": 2, "only_reference": 0, "p_value": 0.5}}
    assert json.loads(file.read_text()) == tree
