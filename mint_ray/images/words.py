"""Words for measured numbers, as captions and descriptions of tiles use them."""


def word_below(value: float, *steps: tuple[float, str], last: str) -> str:
    """Return the word of the first step that the value is below, `last` where there is none."""
    return next((word for limit, word in steps if value < limit), last)
