import pyarrow as pa

from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.reports.evaluation.examples import UNGROUNDED, choose_examples
from tests.evaluation.conftest import NAMES

SHOWN = {label: names[0] for label, names in NAMES.items()}


def test_right_and_wrong_cases_are_both_shown(
    predictions: pa.Table, cases: EvaluatedCases, outcomes: dict[str, Outcomes]
) -> None:
    found = choose_examples(predictions, cases, outcomes, SHOWN, student="orpo", count=2)
    assert len(found) == 2
    assert found[0].case_id == "a"
    assert found[0].known_name == "Alpha syndrome"
    assert [answer.is_known for answer in found[0].answers["orpo"]] == [True, False]


def test_the_known_answer_is_shown_beyond_the_shown_places(
    predictions: pa.Table, cases: EvaluatedCases, outcomes: dict[str, Outcomes]
) -> None:
    found = choose_examples(predictions, cases, outcomes, SHOWN, student="orpo", count=4, places=1)
    answers = {example.case_id: example.answers["orpo"] for example in found}
    assert [(answer.rank, answer.is_known) for answer in answers["b"]] == [(1, False), (3, True)]
    assert answers["c"] == ()


def test_free_text_is_never_shown(
    predictions: pa.Table, cases: EvaluatedCases, outcomes: dict[str, Outcomes]
) -> None:
    found = choose_examples(predictions, cases, outcomes, SHOWN, student="orpo", count=4)
    names = {a.name for example in found for answers in example.answers.values() for a in answers}
    assert UNGROUNDED in names
    assert "Omega fever" not in names


def test_without_a_student_cases_are_still_drawn(
    predictions: pa.Table, cases: EvaluatedCases, outcomes: dict[str, Outcomes]
) -> None:
    only = {"teacher": outcomes["teacher"]}
    found = choose_examples(predictions, cases, only, SHOWN, student="orpo", count=3)
    assert len(found) == 3
    assert list(found[0].answers) == ["teacher"]


def test_the_examples_follow_the_student(
    predictions: pa.Table, cases: EvaluatedCases, outcomes: dict[str, Outcomes]
) -> None:
    named = {"dpo": outcomes["orpo"], "teacher": outcomes["teacher"]}
    found = choose_examples(predictions, cases, named, SHOWN, student="dpo", count=4)
    assert list(found[0].answers) == ["dpo", "teacher"]
    assert found[0].case_id == "a"
