"""Long invented notes, each of which took minutes where the reader went over a part of it again.

Reading them takes a second or so. The limit is a hundred times as long, for busy machines.
"""

import pytest

from mint_ray.knowledge.note_tables import find_rows

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
