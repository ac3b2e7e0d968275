"""Phenotypic findings in a clinical note: which terms are named where, and which are denied.

A dictionary of the ontology's names and synonyms, looked up word by word, longest first. Denial
follows NegEx (Chapman et al., J Biomed Inform 2001): a trigger denies what comes after it in its
clause. What is said of relatives is left out. It explains answers and draws evidence; no ranking
depends on it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mint_ray.knowledge.names import normalise
from mint_ray.knowledge.ontology import Ontology

MOST_CHARACTERS = 200_000
"""Text beyond is not read."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_SENTENCE_END = re.compile(r"[.;:!?](?=\s|$)|\n\s*\n")
_SKIPPED = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "with",
        "to",
        "his",
        "her",
        "their",
        "its",
        "this",
        "that",
        "both",
        "and",
        "or",
    ]
)
_BEFORE = tuple(
    tuple(phrase.split())
    for phrase in (
        "no",
        "not",
        "without",
        "denies",
        "denied",
        "never",
        "nor",
        "neither",
        "absence of",
        "absent",
        "negative for",
        "free of",
        "ruled out",
        "lack of",
        "lacks",
        "lacked",
        "excluded",
    )
)
_AFTER = tuple(
    tuple(phrase.split())
    for phrase in (
        "absent",
        "not present",
        "not seen",
        "not found",
        "not observed",
        "not noted",
        "ruled out",
        "excluded",
        "denied",
    )
)
_TURNS = frozenset(
    ["but", "however", "although", "though", "except", "yet", "whereas", "while", "nevertheless"]
)
_RELATIVES = frozenset(
    [
        "mother",
        "father",
        "brother",
        "sister",
        "sibling",
        "siblings",
        "parent",
        "parents",
        "cousin",
        "uncle",
        "aunt",
        "grandmother",
        "grandfather",
        "grandparent",
        "grandparents",
        "niece",
        "nephew",
        "son",
        "daughter",
        "maternal",
        "paternal",
        "relative",
        "relatives",
    ]
)
_FAMILY = frozenset(["history", "member", "members"])
"""What follows `family` where relatives are meant; "tall for his family" is about the patient."""
_SCOPE = 12
"""Words that a denial reaches over."""
_AFTER_SCOPE = 5


@dataclass(frozen=True)
class Finding:
    """A term that is named at `text[start:end]`; `excluded` where the note denies it."""

    term: str
    start: int
    end: int
    excluded: bool


@dataclass(frozen=True)
class _Token:
    word: str
    stem: str
    start: int
    end: int


class FindingReader:
    """Reads notes; built once, since the dictionary takes a second.

    Args:
        ontology: its phenotypic abnormalities are looked for.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._terms = _dictionary(ontology)
        self._longest: dict[str, int] = {}
        for stems in self._terms:
            self._longest[stems[0]] = max(self._longest.get(stems[0], 0), len(stems))

    def read(self, note: str) -> list[Finding]:
        """Findings in the order of the text; each place belongs to the longest name there."""
        found = []
        for tokens in _sentences(note[:MOST_CHARACTERS]):
            kept = [place for place, token in enumerate(tokens) if token.word not in _SKIPPED]
            stems, at = [tokens[place].stem for place in kept], 0
            while at < len(kept):
                term, size = self._longest_at(stems, at)
                if term is None:
                    at += 1
                    continue
                first, last = kept[at], kept[at + size - 1]
                if not _is_of_relatives(tokens, first):
                    excluded = _is_denied(tokens, first, last)
                    found.append(Finding(term, tokens[first].start, tokens[last].end, excluded))
                at += size
        return found

    def _longest_at(self, stems: Sequence[str], at: int) -> tuple[str | None, int]:
        for size in range(min(self._longest.get(stems[at], 0), len(stems) - at), 0, -1):
            term = self._terms.get(tuple(stems[at : at + size]))
            if term is not None:
                return term, size
        return None, 0


def present_and_excluded(findings: Sequence[Finding]) -> tuple[list[str], list[str]]:
    """Terms that are said to be there, and terms that are only denied; in the text's order."""
    present = list(dict.fromkeys(item.term for item in findings if not item.excluded))
    denied = dict.fromkeys(item.term for item in findings if item.excluded)
    return present, [term for term in denied if term not in present]


def _dictionary(ontology: Ontology) -> Mapping[tuple[str, ...], str]:
    """Stems of every name; a preferred name outranks a synonym, an ambiguous synonym is none."""
    names: dict[tuple[str, ...], str] = {}
    synonyms: dict[tuple[str, ...], str | None] = {}
    for term in ontology.ids:
        if not ontology.is_phenotype(term):
            continue
        names.setdefault(_stems(ontology.name(term)), term)
        for synonym in ontology.synonyms(term):
            stems = _stems(synonym)
            known = synonyms.get(stems, term)
            synonyms[stems] = term if known == term else None
    unambiguous = {stems: term for stems, term in synonyms.items() if term is not None}
    return {stems: term for stems, term in (unambiguous | names).items() if _is_telling(stems)}


def _is_telling(stems: tuple[str, ...]) -> bool:
    """Whether a name is long enough not to be met by chance."""
    return bool(stems) and (len(stems) > 1 or len(stems[0]) > 3)


def _stems(name: str) -> tuple[str, ...]:
    words = (match.group() for match in _WORD.finditer(name))
    return tuple(_stem(word) for word in words if word.casefold() not in _SKIPPED)


def _stem(word: str) -> str:
    """A word without accents, capitals and the endings of plurals."""
    plain = normalise(word).replace(" ", "")
    for ending, other in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if len(plain) > len(ending) + 2 and plain.endswith(ending) and not plain.endswith("ss"):
            return plain[: -len(ending)] + other
    return plain


def _sentences(text: str) -> Iterator[list[_Token]]:
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        tokens = [
            _Token(m.group().casefold(), _stem(m.group()), m.start(), m.end())
            for m in _WORD.finditer(text, start, end)
        ]
        if tokens:
            yield tokens
        start = end


def _is_denied(tokens: Sequence[_Token], first: int, last: int) -> bool:
    before = [token.word for token in tokens[max(0, first - _SCOPE) : first]]
    turn = max((place for place, word in enumerate(before) if word in _TURNS), default=-1)
    if _holds(before[turn + 1 :], _BEFORE):
        return True
    after = [token.word for token in tokens[last + 1 : last + 1 + _AFTER_SCOPE]]
    stop = next((place for place, word in enumerate(after) if word in _TURNS), len(after))
    linked = after[:stop]
    verbs = {"is", "was", "are", "were", "has", "have", "had"}
    return bool(linked) and linked[0] in verbs and _holds(linked[1:], _AFTER)


def _is_of_relatives(tokens: Sequence[_Token], first: int) -> bool:
    """Whether the clause speaks of somebody else before the finding."""
    before = [token.word for token in tokens[max(0, first - _SCOPE) : first]]
    turn = max((place for place, word in enumerate(before) if word in _TURNS), default=-1)
    near = before[turn + 1 :]
    return any(word.removesuffix("'s") in _RELATIVES for word in near) or any(
        word == "family" and after in _FAMILY for word, after in pairwise(near)
    )


def _holds(words: Sequence[str], phrases: Sequence[tuple[str, ...]]) -> bool:
    return any(
        tuple(words[at : at + len(phrase)]) == phrase
        for phrase in phrases
        for at in range(len(words) - len(phrase) + 1)
    )
