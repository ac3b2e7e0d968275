"""Long invented notes, each of which took minutes where the reader went over a part of it again.

Reading them takes a second or so. The limit is a hundred times as long, for busy machines.
"""

import pytest

from mint_ray.knowledge.names import normalise
from mint_ray.knowledge.notes.findings import FindingReader
from mint_ray.knowledge.notes.segments import segments
from mint_ray.knowledge.notes.tables import find_rows

pytestmark = pytest.mark.timeout(100)


@pytest.mark.parametrize(
    "text",
    [
        "finding | present\n" + "-" * 100_000 + "x",
        "finding | present\n" + "|--" * 30_000 + "x",
        "a" + " " * 500_000 + "\u00a0b",
        "(" + " " * 500_000 + "a | b\nc | d",
        "(" * 1_000_000 + ",a",
        "Finding  Present" + "  a" * 100_000 + "\nataxia" + "  b" * 100_000,
    ],
    ids=["a rule", "a rule of bars", "blanks", "an open box", "open brackets", "columns of blanks"],
)
def test_lines_of_tables(text: str) -> None:
    assert sum(len(row.cells) for row in find_rows(text)) < 200_000


@pytest.mark.parametrize(
    "text",
    [
        "?" * 100_000 + "x",
        "?" * 50_000 + " " * 50_000 + "yes",
        "abd. " * 20_000,
        "a. " * 30_000,
    ],
    ids=["question marks", "question and answer", "abbreviations", "letters"],
)
def test_ends_of_sentences(text: str) -> None:
    assert len(list(segments(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "ataxia,\n" * 60_000,
        "a word of forty characters and some more\n" * 20_000,
        "# Ataxia\n" * 30_000,
        "# Ataxia" + "\n" * 300_000,
        "Ataxia:\n" * 30_000,
        "Ataxia:\nno\n" * 30_000,
        "☐ yes " * 60_000,
        "Since 2019. He. " * 20_000,
    ],
    ids=["items", "wrapped", "headings", "blanks", "questions", "answers", "boxes", "numbers"],
)
def test_lines_that_belong_together(text: str) -> None:
    assert len(list(segments(text))) <= text.count("\n") + text.count("☐") + text.count(".") + 1


def test_words_that_lines_divide(reader: FindingReader) -> None:
    note = "micro-\n" * 15_000 + "and sei-\nzures"
    assert [note[found.start : found.end] for found in reader.read(note)] == ["sei-\nzures"]


def test_accents() -> None:
    assert normalise("a" + "\u0300\u0316" * 300_000) == "a"
