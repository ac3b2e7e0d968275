"""Places in a note that name a disease in other letters: misspelt, or by its eponym alone."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

from mint_ray.cases.patients.clinical_notes.answer_names import LITTLE, fold
from mint_ray.knowledge.names import american

Span = tuple[int, int]

_WORD = re.compile(r"[^\W_]+")
_BETWEEN = re.compile(r"[^\w,;:.]{1,3}|['’]s[^\w,;:.]{1,3}")
_SHORTEST = 6
"""Letters of a word that may have a slip; shorter ones are too often another word."""
_SHORTEST_ALONE = 8
"""Letters of a name of one word that may have a slip."""
_MOST_SLIPS = 2
_SOUNDS = (("ph", "f"), ("ae", "e"), ("oe", "e"), ("ck", "k"), ("y", "i"), ("c", "k"))
_DOUBLED = re.compile(r"([a-z])\1")
# Endings of words that describe and name nobody.
_ADJECTIVE = re.compile(r".*(?:al|ic|ous|ar|ary|ive|ed|oid|ing|less)")
_KIND = r"(?:['’]?s)?(?:[\s-]?(?:syndrom\w*|krankheit))?(?!\w)"


def misspelt_names(text: str, names: Iterable[str]) -> Iterator[Span]:
    """Yield where a text has a name with one slip in a long word, or two in all.

    A slip is a letter that is missing, added, wrong or changed with its neighbour, or another
    spelling of the same sound ("Marphan").

    Args:
        text: a note.
        names: names as of `spellings`.
    """
    words = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(fold(text))]
    for name in names:
        wanted = name.split()
        for first in range(len(words) - len(wanted) + 1):
            window = words[first : first + len(wanted)]
            if _is_misspelt([word for word, _, _ in window], wanted) and all(
                _BETWEEN.fullmatch(text, left[2], right[1]) for left, right in pairwise(window)
            ):
                yield window[0][1], window[-1][2]


def named_by_eponym(text: str, stems: Iterable[str]) -> Iterator[Span]:
    """Yield where a text has the stem of a name in capitals: "Marfan", "Charcot-Marie-Tooth".

    A word that begins a sentence and describes ("Skeletal") is left alone.

    Args:
        text: a note.
        stems: names as of `eponyms`.
    """
    folded = fold(text)
    for stem in stems:
        for match in _stem_pattern(stem).finditer(folded):
            words = _WORD.findall(text[match.start(1) : match.end(1)])
            if not all(word[0].isupper() for word in words if word.lower() not in LITTLE):
                continue
            begins = text[: match.start()].rstrip()[-1:] in ("", ".", ":", ";", "!", "?", "\n", "-")
            if len(words) > 1 or not (begins and _ADJECTIVE.fullmatch(match[1])):
                yield match.span()


@lru_cache(maxsize=16384)
def _stem_pattern(stem: str) -> re.Pattern[str]:
    words = map(re.escape, stem.split())
    return re.compile(r"(?<!\w)(" + r"[\s\u2010-\u2014-]{1,3}".join(words) + r")" + _KIND)


def _is_misspelt(found: list[str], wanted: list[str]) -> bool:
    """Return whether words are those of a name with slips, and not the name itself."""
    slips = 0
    for word, right in zip(found, wanted, strict=True):
        if word == right:
            continue
        slips += 1
        if slips > _MOST_SLIPS or not is_slip_of(word, right):
            return False
    if len(wanted) == 1 and slips:
        return len(wanted[0]) >= _SHORTEST_ALONE and found[0][-2:] == wanted[0][-2:]
    return slips > 0


def is_slip_of(word: str, right: str) -> bool:
    """Return whether a word is another one with one slip, both folded.

    >>> is_slip_of("sydnrome", "syndrome"), is_slip_of("hypokalemic", "hyperkalemic")
    (True, False)
    """
    if american(word) == american(right):
        return True
    if len(right) < _SHORTEST or abs(len(word) - len(right)) > 2 or word[:1] != right[:1]:
        return False
    return _is_one_edit(word, right) or _sound(word) == _sound(right)


def _is_one_edit(word: str, right: str) -> bool:
    if abs(len(word) - len(right)) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(word, right, strict=False)) if a != b), None)
    if same is None:
        return True
    rest, other = word[same:], right[same:]
    if rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]:
        return True
    return rest[:2] == other[1::-1] and rest[2:] == other[2:]


@lru_cache(maxsize=65536)
def _sound(word: str) -> str:
    for written, sound in _SOUNDS:
        word = word.replace(written, sound)
    return _DOUBLED.sub(r"\1", word)
