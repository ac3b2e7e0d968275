"""Lines of clinical notes, joined where an editor has wrapped them."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

_LINE_END = re.compile(r"\n|\Z")

_NARROWEST = 40
"""Fewest characters of the longest line of wrapped text."""
_SHORTEST = 60
"""Characters of a line that is wrapped, whatever stands below."""
_CONTINUING = frozenset(
    "a an and any by for from had has have in is no nor not of on or the to was were with without"  # noqa: SIM905
    " denied denies his her never".split()
)
"""Last words of a line that go on in the next one."""
_CONTINUED = frozenset(["of", "or", "nor", "than"])
"""First words of a line that goes on from the one before."""


def lines_of(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of lines; lines of prose that were wrapped are joined."""
    if start >= stop:
        return
    ends = [match.start() for match in _LINE_END.finditer(text, start, stop)]
    begin = start  # of the line, where several are joined
    for end, wrapped in zip(ends, _wrapped(text, start, ends), strict=True):
        line, below = text[begin:end], text[end + 1 : end + 81].lstrip(" ")
        begin = end + 1
        last = line.rstrip()[-1:]
        open_end = last not in ".:;!?|" and below[:1].islower() and "\t" not in line
        word = line.rstrip().rpartition(" ")[2].casefold()
        goes_on = wrapped or end - start >= _SHORTEST or last == ","
        goes_on = goes_on or word in _CONTINUING or (word[-2:-1].isalpha() and last == "-")
        goes_on = goes_on or below.split(" ", 1)[0] in _CONTINUED
        if end < stop and open_end and goes_on:
            continue  # the same sentence goes on below
        yield start, end
        start = end + 1


def _wrapped(text: str, start: int, ends: Sequence[int]) -> list[bool]:
    """Return of each line whether it is one of a paragraph that an editor wrapped.

    So it is where no line of the paragraph had room for the first word of the next one.
    """
    parts = [
        text[begin:end]
        for begin, end in zip([start, *(e + 1 for e in ends[:-1])], ends, strict=True)
    ]
    found: list[bool] = []
    for is_blank, paragraph in groupby(parts, lambda line: not line.strip()):
        rows = list(paragraph)
        longest = max(map(len, rows))
        full = len(rows) > 2 and longest >= _NARROWEST
        full = full and all(
            len(line) + len(below.split(None, 1)[0]) >= longest for line, below in pairwise(rows)
        )
        found += [full and not is_blank] * len(rows)
    return found
