"""Lists in answers. Many of these forms gave an empty or a wrong list in the released code."""

import pytest

from mint_ray.tasks.answers import parse_list, without_thoughts
from mint_ray.tasks.prompts import answer_text

HEADER = "POTENTIAL_DISEASES:"
AB = ["Alpha syndrome", "Beta disease, type 2"]


@pytest.mark.parametrize(
    "text",
    [
        "POTENTIAL_DISEASES:\n1. 'Alpha syndrome'\n2. 'Beta disease, type 2'",
        "POTENTIAL_DISEASES:\n\n1. Alpha syndrome\n\n2. Beta disease, type 2\n",
        "**POTENTIAL_DISEASES:**\n\n1. **Alpha syndrome**\n2. **Beta disease, type 2**",
        "### POTENTIAL\\_DISEASES\n1) Alpha syndrome.\n2) Beta disease, type 2.",
        "Potential diseases:\n(1) “Alpha syndrome”\n(2) “Beta disease, type 2”",
        "__POTENTIAL_DISEASES__:\n1: Alpha syndrome\n2: Beta disease, type 2",
        "POTENTIAL_DISEASES:\n- 1. Alpha syndrome\n- 2. Beta disease, type 2",
        "POTENTIAL_DISEASES:\n**1.** Alpha syndrome\n**2.** Beta disease, type 2",
        "POTENTIAL_DISEASES:\n| 1 | Alpha syndrome | likely |\n| 2 | Beta disease, type 2 | ? |",
        "POTENTIAL_DISEASES: 1. Alpha syndrome 2. Beta disease, type 2",
        "POTENTIAL_DISEASES:\n* Alpha syndrome\n* Beta disease, type 2",
        "POTENTIAL_DISEASES:\nAlpha syndrome\nBeta disease, type 2\n\nThese are guesses.",
        "POTENTIAL_DISEASES: 'Alpha syndrome', 'Beta disease, type 2'",
        "POTENTIAL_DISEASES:\n1. Alpha syndrome\n2. alpha syndrome\n3. Beta disease, type 2",
        "POTENTIAL_DISEASES:\n1. [Alpha syndrome](http://x/1)\n2. `Beta disease, type 2`",
        "1. Alpha syndrome\n2. Beta disease, type 2\n\nI hope that this helps.",
        "Here it is.\nPOTENTIAL_DISEASES:\n1. Alpha syndrome\nbecause\n2. Beta disease, type 2",
        "POTENTIAL_DISEASES:\n1. 'Alpha syndrome' - since it fits\n2. 'Beta disease, type 2': no",
        "POTENTIAL_DISEASES:\n1. Alpha syndrome\n1. Beta disease, type 2",
        "POTENTIAL_DISEASES:\r\n1. Alpha syndrome\r\n2. Beta disease, type 2\r\n",
    ],
)
def test_a_list_is_read_in_every_form(text: str) -> None:
    assert parse_list(text, HEADER) == AB


def test_the_last_header_counts() -> None:
    text = "POTENTIAL_DISEASES:\n1. First try\n\nOn reflection:\nPOTENTIAL_DISEASES:\n1. Second try"
    assert parse_list(text, HEADER) == ["Second try"]


def test_a_mention_of_the_header_without_a_list_does_not_count() -> None:
    text = "POTENTIAL_DISEASES:\n1. First try\n\nI keep to the header\nPOTENTIAL_DISEASES:"
    assert parse_list(text, HEADER) == ["First try"]


@pytest.mark.parametrize(
    "thought",
    [
        "<think>POTENTIAL_DISEASES:\n1. Wrong</think>\n",
        "POTENTIAL_DISEASES:\n1. Wrong\n</think>\n",  # the template began the thought
        "<thinking>a</thinking><think>POTENTIAL_DISEASES:\n1. Wrong</think>",
    ],
)
def test_a_header_in_a_thought_does_not_count(thought: str) -> None:
    assert parse_list(thought + "POTENTIAL_DISEASES:\n1. Right", HEADER) == ["Right"]
    assert parse_list(thought, HEADER) == []


def test_a_thought_without_an_end_is_no_answer() -> None:
    assert parse_list("<think>POTENTIAL_DISEASES:\n1. Wrong", HEADER) == []
    assert without_thoughts("said <think>thought") == "said"


def test_a_list_is_capped() -> None:
    text = "POTENTIAL_DISEASES:\n" + "\n".join(f"{i}. Disease no {i}" for i in range(1, 41))
    assert parse_list(text, HEADER, most=10) == [f"Disease no {i}" for i in range(1, 11)]
    assert len(parse_list(text, HEADER)) == 40
    assert len(parse_list(text, HEADER, most=3)) == 3


def test_a_second_list_behind_the_first_is_not_read() -> None:
    text = "POTENTIAL_DISEASES:\n1. One\n2. Two\n\nReasons:\n1. Fits well\n2. Fits less"
    assert parse_list(text, HEADER) == ["One", "Two"]


@pytest.mark.parametrize(
    "text", ["", "  \n", "I cannot say.", "POTENTIAL_DISEASES:", "1.", "1. ''"]
)
def test_an_answer_without_a_list_gives_none(text: str) -> None:
    assert parse_list(text, HEADER) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "names"), [("'" * 3000 + "x", 0), ("1. Noonan" + " " * 90_000 + "syndrome", 1)]
)
def test_a_model_that_repeats_itself_does_not_stop_the_reader(text: str, names: int) -> None:
    assert len(parse_list(f"{HEADER}\n{text}", HEADER)) == names


def test_numbers_in_names_stay() -> None:
    text = (
        "POTENTIAL_DISEASES:\n1. 3-Methylcrotonyl deficiency 1\n2. 22q11.2 deletion\n3. Type 4. X"
    )
    assert parse_list(text, HEADER) == [
        "3-Methylcrotonyl deficiency 1",
        "22q11.2 deletion",
        "Type 4. X",
    ]


def test_names_with_apostrophes_are_read_whole() -> None:
    text = "POTENTIAL_DISEASES:\n1. 'Meckel's syndrome'\n2. Bart’s disease"
    assert parse_list(text, HEADER) == ["Meckel's syndrome", "Bart’s disease"]


def test_symbols_of_genes_may_stand_in_one_line() -> None:
    assert parse_list("POTENTIAL_GENES: FBN1, TGFBR1, CDK10", "POTENTIAL_GENES:") == [
        "FBN1",
        "TGFBR1",
        "CDK10",
    ]
    assert parse_list("potential genes:\n1. FBN1 (fibrillin)", "POTENTIAL_GENES:") == [
        "FBN1 (fibrillin)"
    ]


def test_the_answer_of_a_student_is_parsed_back() -> None:
    names = ["Marfan syndrome", "Noonan syndrome 1", "Foo (bar)", "Meckel's syndrome"]
    names += ["Dysplasia, 'corner fracture' type", "Skin disease ''in coins''", "22q11.2 deletion"]
    assert parse_list(answer_text(names), HEADER) == names
    assert parse_list(answer_text([*names, names[0]]), HEADER, repeats=True)[-1] == names[0]


def test_a_student_may_go_on_behind_its_list() -> None:
    text = "POTENTIAL_DISEASES:\n1. 'Foo'\n2. 'Foo'\nPOTENTIAL_DISEASES:\n1. 'Baz'"
    assert parse_list(text, HEADER, headed="first", repeats=True) == ["Foo", "Foo"]
    assert parse_list(text, HEADER, most=1, headed="first", repeats=True) == ["Foo"]
    assert parse_list(text, HEADER) == ["Baz"]
    empty = "POTENTIAL_DISEASES:\n\nPOTENTIAL_DISEASES:\n1. 'Baz'"
    assert parse_list(empty, HEADER, headed="first") == ["Baz"]


@pytest.mark.parametrize(
    "text",
    [
        "1) Foo\n2) Bar",
        "Sure!\nPOTENTIAL_DISEASES:\n\n 1. ‘Foo’.\n2. **Bar**\nThat is all.",
        'potential diseases\n1. "Foo",\n2. `Bar`',
        "POTENTIAL_DISEASES:\n1. ``Foo''\n2. 'Bar' also called 'Baz'",
    ],
)
def test_quotes_and_markup_are_removed(text: str) -> None:
    assert parse_list(text, HEADER) == ["Foo", "Bar"]
