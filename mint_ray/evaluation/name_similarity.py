"""Lenient match of disease names as in the paper (MINT, arXiv 2505.05736)."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

THRESHOLD = 0.8
"""Least similarity (difflib ratio) of names that match."""
_PUNCTUATION = re.compile(r"[^\w\s]|_")


@lru_cache(maxsize=65536)
def strip_name(name: str) -> str:
    """Return the name in lower case, without punctuation, and with single spaces."""
    return " ".join(_PUNCTUATION.sub("", name.lower()).split())


def names_match(answer: str, known_names: Sequence[str]) -> bool:
    """Return whether the similarity of the answer to one of the names is at least 0.8."""
    stripped = strip_name(answer)
    return any(_similar(stripped, strip_name(name)) for name in known_names)


@lru_cache(maxsize=1_000_000)
def _similar(a: str, b: str) -> bool:
    if not a or not b:
        return False
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    # Two cheap upper bounds come first: they make nearly every full comparison unnecessary.
    return (
        matcher.real_quick_ratio() >= THRESHOLD
        and matcher.quick_ratio() >= THRESHOLD
        and matcher.ratio() >= THRESHOLD
    )
