"""The paper's lenient match of disease names, kept beside the strict one for comparison."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

THRESHOLD = 0.8
_PUNCTUATION = re.compile(r"[^\w\s]|_")


@lru_cache(maxsize=65536)
def strip_name(name: str) -> str:
    """Lower case without punctuation, single spaces."""
    return " ".join(_PUNCTUATION.sub("", name.lower()).split())


def names_match(answer: str, known_names: Sequence[str]) -> bool:
    """Whether the answer is at least 0.8 similar to one of the names (MINT, arXiv 2505.05736)."""
    stripped = strip_name(answer)
    return any(_similar(stripped, strip_name(name)) for name in known_names)


@lru_cache(maxsize=1_000_000)
def _similar(a: str, b: str) -> bool:
    if not a or not b:
        return False
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    # The two cheap upper bounds spare nearly every full comparison.
    return (
        matcher.real_quick_ratio() >= THRESHOLD
        and matcher.quick_ratio() >= THRESHOLD
        and matcher.ratio() >= THRESHOLD
    )
