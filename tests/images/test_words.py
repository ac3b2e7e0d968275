"""Words for measured numbers."""

import pytest

from mint_ray.images.words import word_below


@pytest.mark.parametrize(
    ("value", "word"), [(-1.0, "small"), (1.9, "small"), (2.0, "medium"), (3.0, "large")]
)
def test_a_limit_belongs_to_the_word_above_it(value: float, word: str) -> None:
    assert word_below(value, (2, "small"), (3, "medium"), last="large") == word
