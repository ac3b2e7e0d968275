"""The ranking phase with the one system that needs neither Ray nor a model."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mint_ray.config.config import Config
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.stages.evaluate.rank import Comparison, base_model_job, larger_model_job
from mint_ray.stages.evaluate.stage import rank_cases

IDS = ("OMIM:1", "OMIM:2", "OMIM:3")


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """Three training cases of two answers, and two test cases; one answer was never trained on."""
    cases = pa.table(
        {
            "case_id": ["a", "b", "c", "d", "e"],
            "group_id": ["g1", "g2", "g3", "g4", "g5"],
            "split": ["train", "train", "train", "test", "test"],
            "label_id": ["OMIM:2", "OMIM:1", "OMIM:2", "OMIM:1", "OMIM:3"],
        }
    )
    evaluation = {"systems": ["majority"], "top_k": 1, "generate_cases": 1}
    return Comparison(
        config=Config.model_validate({"evaluation": evaluation}),
        inputs={"cases": tmp_path},
        output=tmp_path,
        all_cases=cases,
        tested=cases.slice(3),
        catalogue=Catalogue(Label(i, f"Disease {i[-1]}", (i,), (), ()) for i in IDS),
        student="orpo",
    )


def test_each_system_answers_in_its_turn(comparison: Comparison) -> None:
    progress: list[tuple[float, float, str]] = []
    answers = rank_cases(comparison, lambda *update: progress.append(update))
    assert progress == [(0, 1, "majority: 2 cases"), (1, 1, "")]
    assert answers.runs == [SystemRun("majority")]
    assert answers.student == "orpo"
    assert answers.free_cases == {"d"}


def test_majority_answers_with_the_commonest_training_labels(comparison: Comparison) -> None:
    answers = rank_cases(comparison, lambda *update: None)
    rows = answers.predictions.select(["case_id", "rank", "label_id", "text"]).to_pylist()
    assert sorted(map(tuple, (row.values() for row in rows))) == [
        ("d", 1, "OMIM:2", "Disease 2"),
        ("d", 2, "OMIM:1", "Disease 1"),  # the known answer, beyond the list
        ("e", 1, "OMIM:2", "Disease 2"),
    ]


def test_majority_counts_an_answer_by_all_of_its_ids(comparison: Comparison) -> None:
    labels = [Label("OMIM:1", "Disease 1", ("OMIM:1", "ORPHA:1"), (), ())]
    cases = comparison.all_cases
    renamed = pa.array(["OMIM:9", "ORPHA:1", "OMIM:1", "ORPHA:1", "OMIM:3"])
    cases = cases.set_column(cases.schema.get_field_index("label_id"), "label_id", renamed)
    changed = replace(
        comparison, all_cases=cases, tested=cases.slice(3), catalogue=Catalogue(labels)
    )
    rows = rank_cases(changed, lambda *update: None).predictions.to_pylist()
    found = [(row["case_id"], row["label_id"], row["probability"]) for row in rows]
    assert sorted(found) == [("d", "OMIM:1", 1.0), ("e", "OMIM:1", 1.0)]


def test_a_larger_model_takes_the_place_of_the_base_model(comparison: Comparison) -> None:
    tree = {"larger_model": "/models/larger", "top_k": 7, "generate_cases": 1}
    config = Config.model_validate(
        {"evaluation": tree, "student": {"revision": "abc"}, "preferences": {"chosen_size": 3}}
    )
    changed = replace(comparison, config=config)
    free = [SystemRun("larger"), SystemRun("larger", free=True)]
    base = base_model_job(changed, [SystemRun("base")]).job.arguments
    larger = larger_model_job(changed, free).job.arguments
    assert base["student"] is larger["student"] is None  # no trained weights
    assert (base["generate"], larger["generate"]) == ([], ["d"])
    assert larger["settings"]["student"]["base_model"] == "/models/larger"
    assert larger["settings"]["student"]["revision"] is None
    # It never learnt how many names a chosen answer has.
    assert (base["settings"]["k"], larger["settings"]["k"]) == (3, 7)
    same = ("evaluation", "resources", "seed", "task")
    assert all(base["settings"][name] == larger["settings"][name] for name in same)
