import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.knowledge.grounding import Grounder
from mint_ray.knowledge.names import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Marfan syndrome", "marfan syndrome"),
        ("  MARFAN\u00a0\n Syndrome. ", "marfan syndrome"),
        ("Ménière’s disease", "menieres disease"),
        ("Meniere's disease", "menieres disease"),
        ("Charcot–Marie–Tooth, type 2A", "charcot marie tooth type 2a"),
        ("Sjögren-Larsson", "sjogren larsson"),
        ("ﬁbrosis", "fibrosis"),
        ("STRAẞE", "strasse"),
        ("---", ""),
        ("", ""),
    ],
)
def test_spellings(text, expected):
    assert normalise(text) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def make(label_id, name, *synonyms):
    return Label(label_id, name, (label_id,), synonyms, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpha disease", "OMIM:1"),
        ("First-disease", "OMIM:1"),
        ("Shared name", None),  # a synonym of two labels
        ("Beta disease", "OMIM:2"),  # a name outranks another label's synonym
        ("Alpha", None),  # no partial matches
        ("...", None),
        ("x" * 1_000_000, None),
    ],
)
def test_grounding(text, expected):
    catalogue = Catalogue(
        [
            make("OMIM:1", "Alpha disease", "First disease", "Shared name", "Beta disease"),
            make("OMIM:2", "Beta disease", "shared  NAME", "..."),
        ]
    )
    assert Grounder(catalogue).ground(text) == expected
