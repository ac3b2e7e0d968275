import pytest

from mint_ray.evaluation.name_similarity import names_match, strip_name


def test_case_punctuation_and_spacing_do_not_count() -> None:
    assert strip_name("  Ehlers-Danlos  Syndrome, Type_1 ") == "ehlersdanlos syndrome type1"
    assert names_match("NOONAN SYNDROME 1.", ["Noonan syndrome 1"])


@pytest.mark.parametrize(
    ("answer", "known", "match"),
    [
        ("Noonan syndrome 2", "Noonan syndrome 1", True),  # the leniency that the text warns of
        ("abcdefgh", "abcdefxy", False),  # 6 of 8 characters: 0.75
        ("abcdefghij", "abcdefghxy", True),  # 8 of 10 characters: exactly 0.8
        ("", "", False),
        ("!!!", "???", False),
    ],
)
def test_threshold_of_the_paper(answer: str, known: str, match: bool) -> None:
    assert names_match(answer, [known]) is match


def test_any_name_of_the_known_answer_counts() -> None:
    assert names_match("Marfan syndrome", ["MFS1", "Marfan syndrome"])
    assert not names_match("Marfan syndrome", [])
