"""Phenotypic findings in a clinical note: named terms, their positions, and negations.

A dictionary of the ontology's names and synonyms is looked up word by word, longest name first.
Negation follows NegEx (Chapman et al., J Biomed Inform 2001): a trigger negates the findings
after it in its clause. Statements about relatives are left out. The findings explain answers and
show evidence; no ranking depends on them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mint_ray.knowledge.names import normalise
from mint_ray.knowledge.ontology import Ontology

MOST_CHARACTERS = 200_000
"""Most characters of a note that are read; the text beyond is ignored."""

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
_TRIGGERS_BEFORE = tuple(
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
_TRIGGERS_AFTER = tuple(
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
_CLAUSE_ENDS = frozenset(
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
"""Words after `family` that mean relatives; "tall for his family" is about the patient."""
_SCOPE = 12
"""Words before a finding that are searched for a trigger or a relative."""
_AFTER_SCOPE = 5
"""Words after a finding that are searched for a trigger."""


@dataclass(frozen=True)
class Finding:
    """A term that is named at `text[start:end]`; `excluded` if the note negates it."""

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
    """A reader of notes; build it once, since its dictionary takes a second.

    Args:
        ontology: ontology whose phenotypic abnormalities are looked for.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._terms = _dictionary(ontology)
        self._longest: dict[str, int] = {}
        for stems in self._terms:
            self._longest[stems[0]] = max(self._longest.get(stems[0], 0), len(stems))

    def read(self, note: str) -> list[Finding]:
        """Return findings in text order; of the names that start at a word, the longest counts."""
        findings = []
        for tokens in _sentences(note[:MOST_CHARACTERS]):
            kept = [index for index, token in enumerate(tokens) if token.word not in _SKIPPED]
            stems, start = [tokens[index].stem for index in kept], 0
            while start < len(kept):
                term, size = self._longest_from(stems, start)
                if term is None:
                    start += 1
                    continue
                first, last = kept[start], kept[start + size - 1]
                if not _is_of_relatives(tokens, first):
                    excluded = _is_negated(tokens, first, last)
                    findings.append(Finding(term, tokens[first].start, tokens[last].end, excluded))
                start += size
        return findings

    def _longest_from(self, stems: Sequence[str], start: int) -> tuple[str | None, int]:
        for size in range(min(self._longest.get(stems[start], 0), len(stems) - start), 0, -1):
            term = self._terms.get(tuple(stems[start : start + size]))
            if term is not None:
                return term, size
        return None, 0


def present_and_excluded(findings: Sequence[Finding]) -> tuple[list[str], list[str]]:
    """Return the terms stated as present and those only negated, in the order of the text."""
    present = list(dict.fromkeys(item.term for item in findings if not item.excluded))
    negated = dict.fromkeys(item.term for item in findings if item.excluded)
    return present, [term for term in negated if term not in present]


def _dictionary(ontology: Ontology) -> Mapping[tuple[str, ...], str]:
    """Return stems -> term; names outrank synonyms, and ambiguous synonyms are left out."""
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
    """Return whether a name is long enough not to match by chance."""
    return bool(stems) and (len(stems) > 1 or len(stems[0]) > 3)


def _stems(name: str) -> tuple[str, ...]:
    words = (match.group() for match in _WORD.finditer(name))
    return tuple(_stem(word) for word in words if word.casefold() not in _SKIPPED)


def _stem(word: str) -> str:
    """Return a word without accents, capitals and plural endings."""
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


def _is_negated(tokens: Sequence[_Token], first: int, last: int) -> bool:
    before = [token.word for token in tokens[max(0, first - _SCOPE) : first]]
    clause_end = max((i for i, word in enumerate(before) if word in _CLAUSE_ENDS), default=-1)
    if _contains_phrase(before[clause_end + 1 :], _TRIGGERS_BEFORE):
        return True
    after = [token.word for token in tokens[last + 1 : last + 1 + _AFTER_SCOPE]]
    clause_end = next((i for i, word in enumerate(after) if word in _CLAUSE_ENDS), len(after))
    linked = after[:clause_end]
    verbs = {"is", "was", "are", "were", "has", "have", "had"}
    return bool(linked) and linked[0] in verbs and _contains_phrase(linked[1:], _TRIGGERS_AFTER)


def _is_of_relatives(tokens: Sequence[_Token], first: int) -> bool:
    """Return whether the clause names a relative before the finding."""
    before = [token.word for token in tokens[max(0, first - _SCOPE) : first]]
    clause_end = max((i for i, word in enumerate(before) if word in _CLAUSE_ENDS), default=-1)
    near = before[clause_end + 1 :]
    return any(word.removesuffix("'s") in _RELATIVES for word in near) or any(
        word == "family" and after in _FAMILY for word, after in pairwise(near)
    )


def _contains_phrase(words: Sequence[str], phrases: Sequence[tuple[str, ...]]) -> bool:
    return any(
        tuple(words[start : start + len(phrase)]) == phrase
        for phrase in phrases
        for start in range(len(words) - len(phrase) + 1)
    )
