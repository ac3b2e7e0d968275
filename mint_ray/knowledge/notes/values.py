"""Values that stand behind a finding: "Seizures: no", "ataxia was not seen", "scoliosis [yes]"."""

from collections.abc import Sequence
from itertools import dropwhile

from mint_ray.knowledge.notes.triggers import (
    LINKS,
    NOT_AFTER,
    OPEN_AFTER,
    YES_AFTER,
    Assertion,
    length_at_start,
    split_contraction,
)

FINDING = "\0"
"""Stands for each word of a finding's name."""
SHORT = frozenset(["no", "not", "never", "n", "0", "-", "–", "−", "none"])
"""Denials of one word, which may be of what stands behind them."""
ASKED = frozenset(":-–—=→")
"""Marks between a question of a form and its answer."""
MARKS_BEHIND = frozenset([",", ".", ";", ")", "]", "|", "\t", "!", "and", "/"])
"""Marks and words that end an answer."""
_OPEN_ENDED = (("denies",), ("no", "evidence"))
"""Longer ones: "Fever: denies cough"."""
_FAR = 24
"""Words behind a finding that may hold its value: more than links and the longest phrase take."""
_LONGEST_CODE = 12
_REPLIES = frozenset(["yes", "no", "none", "unknown", "y", "n", "never"])
_CROSSES = frozenset("✗✘❌")


def value_behind(words: Sequence[str]) -> Assertion | None:
    """Return the value that a finding has been given: "Seizures: no", "Ataxia was not seen"."""
    words = [word for whole in words[:_FAR] for word in split_contraction(whole)]
    skipped = 0
    while skipped < min(len(words), 5) and words[skipped] in LINKS:
        skipped += 1
    for at in range(skipped, -1, -1):
        rest = words[at:]
        if length_at_start(rest, OPEN_AFTER) and not _asks_on(rest):
            return "open"
        size = length_at_start(rest, NOT_AFTER)
        if size and _ends_there(rest, size, linked=at > 0):
            return "excluded"
        if length_at_start(rest, YES_AFTER) and FINDING not in rest[1:3]:
            return "present"
    return None


def without_code(words: list[str]) -> list[str]:
    """Return the words behind a finding without a code or a value in brackets: "(HP:0001250)"."""
    for opening, closing in (("(", ")"), ("[", "]")):
        if words[:1] == [opening] and closing in words[:_LONGEST_CODE]:
            at = words.index(closing)
            if any(any(map(str.isdigit, word)) for word in words[1:at]):
                return words[at + 1 :]
    return words


def _asks_on(rest: Sequence[str]) -> bool:
    """Return whether a question mark asks what follows it: "Ataxia ?cause"."""
    following = rest[1] if len(rest) > 1 else ""
    if rest[0] != "?":
        return False
    return following == FINDING or (following.isalpha() and following not in _REPLIES)


def _ends_there(rest: Sequence[str], size: int, linked: bool) -> bool:
    """Return whether a negation behind a finding is about it, and not about what follows."""
    following = rest[size : size + 1]
    if rest[0] in _CROSSES:
        return True
    if tuple(rest[:size]) in _OPEN_ENDED:
        return linked and (not following or following[0] in MARKS_BEHIND)
    if size == 1 and rest[0] in SHORT:
        ended = not following or following[0] in MARKS_BEHIND or asks_next(rest[size:])
        return ended and (linked or rest[0] not in ("no", "never"))
    return linked or not following or following[0] != FINDING


def asks_next(words: Sequence[str]) -> bool:
    """Return whether the next question of a form follows: "Seizures: no Hypotonia: yes"."""
    behind = list(dropwhile(FINDING.__eq__, words))
    if len(behind) == len(words) or behind[:1] == [":"]:
        return len(behind) < len(words)
    return len(behind) > 1 and behind[0] in ASKED and behind[1] in _REPLIES
