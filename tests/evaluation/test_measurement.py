"""Metrics of a comparison from its record alone, without Ray."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.errors import DataError
from mint_ray.evaluation.answers import Answers, SystemAnswers
from mint_ray.evaluation.measurement import Measurement, measure_answers
from mint_ray.evaluation.metrics.teacher_agreement import TeacherLists
from mint_ray.evaluation.systems import Perturbation, SystemRun
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.tasks.task import DISEASE, TISSUE, Task
from tests.evaluation.conftest import NAMES, predictions_of
from tests.evaluation.few_answers import CLASS_METRICS

CATALOGUE = Catalogue(
    Label(label_id, names[0], ids, names[1:], ())
    for (label_id, names), ids in zip(
        NAMES.items(), (("OMIM:1", "ORPHA:10"), ("OMIM:2",), ("OMIM:3",)), strict=True
    )
)
ANSWERS = ("OMIM:1", "OMIM:2", "OMIM:3")


def whole_ranking(run: SystemRun, first: Mapping[str, str]) -> pa.Table:
    """Rows that name every answer for each case, the given one first."""
    rows = []
    for case_id, best in first.items():
        ranked = [best, *(label for label in ANSWERS if label != best)]
        for rank, (label, p) in enumerate(zip(ranked, (0.5, 0.3, 0.2), strict=True), 1):
            rows.append((case_id, run.name, rank, label, NAMES[label][0], p))
    return predictions_of(rows)


def measure(answers: Answers, tested: pa.Table, task: Task = DISEASE) -> Measurement:
    settings = EvaluationConfig(top_k=2, bootstrap_samples=100)
    return measure_answers(answers, tested, CATALOGUE, settings=settings, seed=0, task=task)


def test_free_answers_are_measured_on_the_cases_that_were_answered_so(
    case_table: pa.Table,
) -> None:
    ranked, free = SystemRun("orpo"), SystemRun("orpo", free=True)
    right = {"a": "OMIM:1", "b": "OMIM:2", "c": "OMIM:1", "d": "OMIM:1"}
    generated = predictions_of([("b", free.name, 1, "OMIM:2", "Gamma syndrome", None)])
    answers = SystemAnswers({ranked: whole_ranking(ranked, right), free: generated})
    measured = measure(Answers({"orpo": answers}, "orpo", frozenset({"b"})), case_table)
    top1 = {name: strata["all"]["top1"] for name, strata in measured.metrics.items()}
    assert list(top1) == ["orpo", "orpo_generated"]
    assert (top1["orpo"]["value"], top1["orpo"]["n"]) == (0.5, 4)
    assert (top1["orpo_generated"]["value"], top1["orpo_generated"]["n"]) == (1.0, 1)
    assert len(measured.cases) == len(measured.outcomes["orpo"].rank) == 4
    assert len(measured.outcomes["orpo_generated"].rank) == 1
    same = [by["answered_freely"]["top1"] for by in measured.metrics.values()]
    assert [(value["value"], value["n"]) for value in same] == [(1.0, 1), (1.0, 1)]


def test_cases_with_free_answers_are_no_stratum_where_all_have_them(case_table: pa.Table) -> None:
    ranked, free = SystemRun("orpo"), SystemRun("orpo", free=True)
    first = dict.fromkeys("abcd", "OMIM:1")
    tables = {run: whole_ranking(run, first) for run in (ranked, free)}
    answers = Answers({"orpo": SystemAnswers(tables)}, "orpo", frozenset("abcd"))
    assert set(measure(answers, case_table).metrics["orpo"]) == {"all", "seen", "unseen"}


def test_small_catalogues_of_tissues_are_measured_by_answer(case_table: pa.Table) -> None:
    plain, stain = SystemRun("orpo"), SystemRun("orpo", Perturbation.STAIN)
    right = {"a": "OMIM:1", "b": "OMIM:2", "c": "OMIM:3"}
    wrong = {"a": "OMIM:2", "b": "OMIM:3", "c": "OMIM:1"}
    tables = {plain: whole_ranking(plain, right), stain: whole_ranking(stain, wrong)}
    answers = Answers({"orpo": SystemAnswers(tables)}, "orpo")
    measured = measure(answers, case_table.slice(0, 3), TISSUE)
    assert set(CLASS_METRICS) <= measured.metrics["orpo_stain"]["all"].keys()
    accuracy = [by["all"]["balanced_accuracy"]["value"] for by in measured.metrics.values()]
    assert accuracy == [1.0, 0.0]
    distribution = measured.outcomes["orpo"].distribution
    assert distribution is not None
    np.testing.assert_allclose(distribution.sum(axis=1), 1.0)
    assert "balanced_accuracy" not in measure(answers, case_table).metrics["orpo"]["all"]


def test_the_teachers_lists_measure_its_students_alone(case_table: pa.Table) -> None:
    first = dict.fromkeys("abcd", "OMIM:1")
    lists = TeacherLists(
        list("abcd"), [["OMIM:1"]] * 4, [["OMIM:3"]] * 4, frozenset({"base", "orpo"}), depth=1
    )
    systems = {
        name: SystemAnswers(
            {SystemRun(name): whole_ranking(SystemRun(name), first)},
            teacher_lists=lists if name == "teacher" else None,
        )
        for name in ("orpo", "teacher")
    }
    metrics = measure(Answers(systems, "orpo"), case_table).metrics
    assert metrics["orpo"]["all"]["coverage"]["value"] == 1.0
    assert metrics["orpo"]["all"]["avoidance"]["value"] == 1.0
    assert "coverage" not in metrics["teacher"]["all"]


def test_nothing_tested_is_an_error(case_table: pa.Table) -> None:
    with pytest.raises(DataError, match="at least one case"):
        measure(Answers({}, "orpo"), case_table.slice(0, 0))


def test_cases_without_a_publication_or_a_text_are_reported_apart(case_table: pa.Table) -> None:
    run = SystemRun("orpo")
    right = {"a": "OMIM:1", "b": "OMIM:2", "c": "OMIM:1", "d": "OMIM:1"}
    answers = Answers({"orpo": SystemAnswers({run: whole_ranking(run, right)})}, "orpo")
    mixed = case_table.append_column("publications", pa.array([["PMID:1"], ["PMID:2"], [], None]))
    strata = measure(answers, mixed).metrics["orpo"]
    assert {name: strata[name]["top1"]["n"] for name in ("published", "unpublished")} == {
        "published": 2,
        "unpublished": 2,
    }
    described = case_table.append_column("described", pa.array([True, False, False, True]))
    strata = measure(answers, described).metrics["orpo"]
    assert {name: strata[name]["top1"]["n"] for name in ("described", "undescribed")} == {
        "described": 2,
        "undescribed": 2,
    }
    alike = case_table.append_column("publications", pa.array([["PMID:1"]] * 4))
    assert measure(answers, alike).metrics == measure(answers, case_table).metrics
