"""Leaks of a case's own answer into a text.

A prompt must not contain the names and synonyms of the case's disease, its gene symbols, its
variants or its publications. Only the strings of the case *itself* are forbidden: the name of
another disease may well be a finding.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from mint_ray.cases.schema import Case
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.names import normalise

# FBN1, C9orf72, MT-CO1, HLA-B, H3-3A; also abbreviations of disease names, such as CHARGE.
SYMBOL = re.compile(r"(?=.*[A-Z])[A-Z0-9]+(?:orf\d+)?(?:[-.@][A-Z0-9]+)*")
NUMBERED_ID = re.compile(r"([A-Za-z]+):\s*(\d+)")  # PMID:12345678, OMIM:154700
_DOI = re.compile(r"DOI:\s*(10\..+)", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['’]s\b")
_SHORTEST_NUMBER = 6  # a bare id with fewer digits could be any number


def names_of_answer(case: Case, stated: Iterable[str], catalogue: Catalogue) -> tuple[str, ...]:
    """Return all names, ids and genes that the catalogue has of a case's answer.

    Of a case without a label they are those of every label that a gene in `stated` belongs to.
    """
    if case["label_id"] is not None:
        index = catalogue.index_of(case["label_id"])
        labels = [] if index is None else [catalogue.label(index)]
    else:
        genes = set(stated)
        labels = [label for label in catalogue.labels if genes & set(label.genes)] if genes else []
    names = (n for x in labels for n in (x.name, *x.ids, *x.synonyms, *x.genes))
    return tuple(dict.fromkeys(names))


def find_answer(text: str, forbidden: Iterable[str]) -> str | None:
    """Return the first forbidden string that `text` contains as whole words, or None.

    Names are compared in normalised spelling (case, accents, punctuation, spacing, possessive
    s). A string that lists several names with ";" is compared name by name. Symbols in capitals
    are compared as written, since many are English words (CAT, REST, WAS), and also with a space
    or hyphen before a number ("CDK 10"). A symbol of four or more characters with a digit is
    found in small letters too. An id such as "PMID:12345678" is found with its prefix and, if
    its number has at least six digits, without; a DOI is found with and without its prefix.
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
    """Return the pattern of a symbol, or the normalised names of an id or a name, in spaces."""
    symbol: re.Pattern[str] | None = None
    names: set[str] = set()
    for part in map(str.strip, entry.split(";")):
        curie = NUMBERED_ID.fullmatch(part)
        if curie:
            prefix, number = normalise(curie[1]), curie[2]
            names |= {f"{prefix} {number}", f"{prefix}{number}"}
            names |= {number} if len(number) >= _SHORTEST_NUMBER else set()
        elif doi := _DOI.fullmatch(part):
            names.add(normalise(doi[1]))
        elif SYMBOL.fullmatch(part) and part == entry.strip():
            symbol = symbol_pattern(part)
        else:
            names |= {normalise(part), normalise(_POSSESSIVE.sub("", part))}
    return symbol, tuple(f" {name} " for name in sorted(names) if len(name) > 1)


def symbol_pattern(symbol: str) -> re.Pattern[str] | None:
    if len(symbol) < 2:
        return None
    spaced = re.sub(r"(?<=[A-Za-z])(?=\d)", r"[\\s-]?", re.escape(symbol))
    any_case = len(symbol) > 3 and any(character.isdigit() for character in symbol)
    # "FBN1c.12A>G" and "FBN1gene" name it too.
    end = r"(?![A-Za-z0-9])|(?=[cgmnpr]\.|genes?\b)"
    return re.compile(rf"(?<![A-Za-z0-9]){spaced}(?:{end})", re.IGNORECASE if any_case else 0)
