"""Whether a text gives away a case's own answer.

Forbidden in a prompt are the names and synonyms of the case's disease, its gene symbols, its
variants and its publications. Only the case's *own* strings are: another disease's name may
well be a finding.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from mint_ray.knowledge.names import normalise

# FBN1, C9orf72, MT-CO1, HLA-B, H3-3A; also abbreviations of disease names, such as CHARGE.
_SYMBOL = re.compile(r"(?=.*[A-Z])[A-Z0-9]+(?:orf\d+)?(?:[-.@][A-Z0-9]+)*")
_NUMBERED_ID = re.compile(r"([A-Za-z]+):\s*(\d+)")  # PMID:12345678, OMIM:154700
_POSSESSIVE = re.compile(r"['’]s\b")
_SHORTEST_NUMBER = 6  # digits below which a bare id could be any number


def find_answer(text: str, forbidden: Iterable[str]) -> str | None:
    """The first forbidden string that `text` contains as whole words; None for none.

    Names are compared in normalised spelling (case, accents, punctuation, spacing, possessive
    s), part by part where they list several names with ";". Symbols in capitals are compared
    as they are written, since many are English words (CAT, REST, WAS), and also with a space
    or hyphen before a number ("CDK 10"); a symbol with a number also in small letters. An id
    such as "PMID:12345678" is found with and without its prefix.
    """
    spellings = tuple(f" {normalise(t)} " for t in (text, _POSSESSIVE.sub("", text)))
    return next((entry for entry in forbidden if _contains(text, spellings, entry)), None)


def _contains(text: str, spellings: tuple[str, ...], entry: str) -> bool:
    symbol, names = _prepare(entry)
    if symbol is not None and symbol.search(text):
        return True
    return any(name in spelling for name in names for spelling in spellings)


@lru_cache(maxsize=65536)
def _prepare(entry: str) -> tuple[re.Pattern[str] | None, tuple[str, ...]]:
    """A pattern for a symbol, or the normalised names of anything else, framed by spaces."""
    symbol: re.Pattern[str] | None = None
    names: set[str] = set()
    for part in map(str.strip, entry.split(";")):
        curie = _NUMBERED_ID.fullmatch(part)
        if curie:
            prefix, number = normalise(curie[1]), curie[2]
            names |= {f"{prefix} {number}", f"{prefix}{number}"}
            names |= {number} if len(number) >= _SHORTEST_NUMBER else set()
        elif _SYMBOL.fullmatch(part) and part == entry.strip():
            symbol = _symbol_pattern(part)
        else:
            names |= {normalise(part), normalise(_POSSESSIVE.sub("", part))}
    return symbol, tuple(f" {name} " for name in sorted(names) if len(name) > 1)


def _symbol_pattern(symbol: str) -> re.Pattern[str] | None:
    if len(symbol) < 2:
        return None
    spaced = re.sub(r"(?<=[A-Za-z])(?=\d)", r"[\\s-]?", re.escape(symbol))
    any_case = len(symbol) > 3 and any(character.isdigit() for character in symbol)
    return re.compile(rf"(?<![A-Za-z0-9]){spaced}(?![A-Za-z0-9])", re.IGNORECASE if any_case else 0)
