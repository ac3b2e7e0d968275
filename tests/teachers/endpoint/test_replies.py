"""Reading of a model's answers."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.tasks.task import DISEASE
from mint_ray.teachers.endpoint.replies import (
    Reply,
    as_row,
    of_row,
    read_completion,
    scores_of_list,
    scores_of_options,
)

CATALOGUE = Catalogue(
    [
        Label("OMIM:1", "Alpha syndrome", ("OMIM:1",), ("AS",), ()),
        Label("OMIM:2", "Beta disease (adult)", ("OMIM:2", "ORPHA:22"), (), ()),
        Label("OMIM:3", "Gamma-delta disease", ("OMIM:3",), (), ()),
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POTENTIAL_DISEASES:\n1. 'Alpha syndrome'\n2. 'Beta disease (adult)'", [0, 1]),
        ("1. **Alpha Syndrome**: fits the seizures\n2) AS", [0]),
        ("1. Gamma delta disease (OMIM:999), probability 0.31\n2. Alpha syndrome – rare", [2, 0]),
        ("1. Unheard of (Orphanet_22)", [1]),
        ("<think>POTENTIAL_DISEASES:\n1. 'AS'</think>\n1. 'Gamma-delta disease'", [2]),
        ("Under POTENTIAL_DISEASES: I list\nPOTENTIAL_DISEASES:\n\n1. Alpha syndrome", [0]),
        ("<think>1. Alpha syndrome, no", []),
        ("I cannot help with that.", []),
        ("", []),
    ],
)
def test_names_are_found_in_the_lists_that_models_write(text: str, expected: list[int]) -> None:
    labels, scores, _ = scores_of_list(CATALOGUE, DISEASE)(Reply(text))
    assert labels == expected
    assert scores == sorted(scores, reverse=True)


def test_a_place_counts_although_the_names_before_it_are_unknown() -> None:
    text = "1. Unheard of\n2. Alpha syndrome\n3. Alpha syndrome\n4. Gamma-delta disease"
    labels, scores, unknown = scores_of_list(CATALOGUE, DISEASE)(Reply(text))
    assert (labels, unknown) == ([0, 2], 1)
    assert scores == pytest.approx([-math.log(2), -math.log(4)])


def test_spellings_of_a_letter_are_added() -> None:
    chances = {"A": 0.4, " A": 0.1, "C.": 0.2, "D": 0.1, "a": 0.1}
    top = tuple((token, math.log(chance)) for token, chance in chances.items())
    labels, scores, _ = scores_of_options(CATALOGUE)(Reply("A", top))
    assert labels == [0, 2]
    assert scores == pytest.approx([math.log(0.5), math.log(0.2)])


@pytest.mark.parametrize(
    "completion",
    [
        "text",
        SimpleNamespace(choices=None),
        SimpleNamespace(choices=[]),
        SimpleNamespace(choices=[SimpleNamespace(message=None)]),
        SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=7))]),
    ],
)
def test_what_is_no_completion_is_no_reply(completion: Any) -> None:
    assert read_completion(completion) is None


def test_a_reply_survives_its_row() -> None:
    reply = Reply("1. 'AS'", (("A", -0.5),), 12)
    assert of_row(as_row("case", "key", reply)) == reply
