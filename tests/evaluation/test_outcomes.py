import numpy as np
import pyarrow as pa
import pytest

from mint_ray.errors import DataError
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes, index_cases
from tests.evaluation.conftest import NAMES, PRIMARY, predictions_of


def test_known_answers_match_by_any_id(cases: EvaluatedCases) -> None:
    assert cases.known_ids == ("OMIM:1", "OMIM:2", "OMIM:3", "OMIM:9")
    assert cases.codes["ORPHA:10"] == cases.codes["OMIM:1"] == cases.known[0]
    assert cases.known[3] < 0


def test_strata_and_groups(cases: EvaluatedCases, case_table: pa.Table) -> None:
    assert cases.strata["unseen"].tolist() == [False, False, True, True]
    assert cases.groups.tolist() == [0, 0, 1, 2]
    mask = np.array([True, False, False, False])
    assert index_cases(case_table, PRIMARY, strata={"children": mask}).strata["children"] is mask


def test_label_name_of_the_case_is_a_known_name(case_table: pa.Table) -> None:
    named = case_table.append_column("label_name", [["Alpha", None, "Delta", "Omega fever"]])
    assert index_cases(named, PRIMARY, NAMES).known_names[3] == ("Omega fever",)
    assert index_cases(named, PRIMARY, NAMES).known_names[1] == ("Gamma syndrome",)


def test_cases_without_answer_or_twice_are_refused(case_table: pa.Table) -> None:
    rows = [*case_table.to_pylist(), {**case_table.to_pylist()[0], "label_id": None}]
    with pytest.raises(DataError) as caught:
        index_cases(pa.Table.from_pylist(rows), PRIMARY)
    assert caught.value.counts == {"duplicate_case": 1, "no_known_answer": 1}
    with pytest.raises(DataError, match="at least one case"):
        index_cases(case_table.slice(0, 0), PRIMARY)


def test_ranks_and_probabilities(outcomes: dict[str, Outcomes]) -> None:
    orpo = outcomes["orpo"]
    assert orpo.rank.tolist() == [1, 3, np.inf, np.inf]
    assert orpo.probability.tolist() == [0.75, 0.125, 0, 0]
    assert orpo.confidence.tolist() == [0.75, 0.5, 0, 1]
    assert orpo.correct.tolist() == [True, False, False, False]


def test_the_row_beyond_the_list_is_not_listed(outcomes: dict[str, Outcomes]) -> None:
    orpo = outcomes["orpo"]
    assert orpo.listed.sum(axis=1).tolist() == [2, 2, 0, 2]
    assert orpo.codes[3, 1] == -1
    assert orpo.lenient.tolist() == [[True, False], [False, False], [False, False], [False, False]]


def test_predictions_of_other_cases_are_ignored(cases: EvaluatedCases) -> None:
    table = predictions_of([("other", "s", 1, "OMIM:1", "Alpha", 1.0)])
    assert np.isinf(collect_outcomes(table, cases, 2)["s"].rank).all()


def test_an_answer_given_twice_counts_at_its_best_rank(cases: EvaluatedCases) -> None:
    rows = [("a", "s", 1, "OMIM:1", "Alpha", 0.6), ("a", "s", 2, "ORPHA:10", "Alpha-Beta", 0.3)]
    outcome = collect_outcomes(predictions_of(rows), cases, 2)["s"]
    assert outcome.rank[0] == 1
    assert outcome.probability[0] == 0.6


def test_an_answer_outside_the_catalogue_never_matches(cases: EvaluatedCases) -> None:
    table = predictions_of([("d", "s", 1, "OMIM:9", "Omega fever", 1.0)])
    assert np.isinf(collect_outcomes(table, cases, 2)["s"].rank).all()


def test_system_without_probabilities_is_marked(cases: EvaluatedCases) -> None:
    table = predictions_of([("a", "s", 1, "OMIM:1", "Alpha", None)])
    outcome = collect_outcomes(table, cases, 2)["s"]
    assert not outcome.has_probabilities
    assert outcome.rank[0] == 1
