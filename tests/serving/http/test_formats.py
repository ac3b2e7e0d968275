"""Forms of an answer, and which one a client gets."""

import csv
import io
from typing import Any

import pytest

from mint_ray.serving.api.answers import Answer
from mint_ray.serving.api.formats import as_csv, as_interpretations
from tests.serving.http.in_process import Handle, answer_of, app_of, ask, diagnose

WHY = "the set is empty"


def made(reason: str | None, *, ranked: bool = True) -> Answer:
    answer = answer_of("r1", reason)
    return answer if ranked else answer.model_copy(update={"ranking": []})


def rows(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(answer))))


def test_a_table_says_that_the_catalogue_may_lack_the_answer() -> None:
    [row] = rows(made(WHY))
    assert (row["rank"], row["none_of_these"], row["none_of_these_reason"]) == ("1", "True", WHY)
    [row] = rows(made(WHY, ranked=False))
    assert (row["rank"], row["none_of_these_reason"]) == ("", WHY)
    [row] = rows(made(None))
    assert (row["none_of_these"], row["none_of_these_reason"]) == ("False", "")


def test_a_phenopacket_says_so_too() -> None:
    first, second = as_interpretations(made(WHY))["interpretations"]
    assert "diagnosis" not in first
    assert (first["progressStatus"], WHY in first["summary"]) == ("UNSOLVED", True)
    assert second["diagnosis"]["disease"]["id"] == "OMIM:1"
    assert len(as_interpretations(made(WHY, ranked=False))["interpretations"]) == 1
    assert len(as_interpretations(made(None))["interpretations"]) == 1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
        ("text/csv;q=0.1, application/json;q=0.9", "application/json"),
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        ("application/json;profile=text/csv", "application/json"),
    ],
)
def test_a_client_gets_the_form_it_prefers(accept: str, kind: str) -> None:
    more: dict[str, Any] = {"json": {"note": "Seizures."}, "headers": {"Accept": accept}}
    [response] = ask(app_of(Handle(diagnose=diagnose)), ("POST", "/v1/diagnose", more))
    assert response.headers["content-type"].partition(";")[0] == kind
