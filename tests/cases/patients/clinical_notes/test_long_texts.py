"""Long invented texts, each of which took minutes where an expression read a part of it again.

Reading them takes a second or so. The limit is a hundred times as long, for busy machines.
"""

import pytest

from mint_ray.cases.patients.clinical_notes.answer_names import base_spellings, spellings
from mint_ray.cases.patients.clinical_notes.columns import split_list
from mint_ray.cases.table import has_words

pytestmark = pytest.mark.timeout(100)


@pytest.mark.parametrize(
    "name",
    ["a" + " " * 200_000 + "!", "a" + "-" * 100_000 + "!", "a" + "(" * 300_000],
    ids=["blanks", "hyphens", "brackets"],
)
def test_names_of_diseases(name: str) -> None:
    assert spellings(name) == {"a"}
    assert base_spellings(name) == set()


def test_lists() -> None:
    assert split_list("a" + " " * 300_000 + "b; c") == ["a" + " " * 300_000 + "b", "c"]


def test_masks_that_nothing_closes() -> None:
    assert not has_words("[**" * 150_000)
    assert not has_words("[**name 17**] <br>")
