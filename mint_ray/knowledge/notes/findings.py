"""Phenotypic findings in a clinical note: named terms, their positions, and negations.

A dictionary of the ontology's names and synonyms is looked up word by word, longest name first.
Negation follows NegEx (Chapman et al., J Biomed Inform 2001): a trigger negates the findings
after it in its clause. Statements about relatives are left out. The findings explain answers and
show evidence; no ranking depends on them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from mint_ray.knowledge.ids import read_term_id
from mint_ray.knowledge.names import INVISIBLE, WITHOUT_INVISIBLE, american, normalise
from mint_ray.knowledge.notes.assertion import Sentence, Span, Token
from mint_ray.knowledge.notes.segments import Segment, plain_text, segments
from mint_ray.knowledge.notes.triggers import Assertion
from mint_ray.knowledge.ontology import Ontology

MOST_CHARACTERS = 200_000
"""Most characters of a note that are read; the text beyond is ignored."""

_DIGITS = 7  # of an id
_MOST_PARTS = 3  # of an id
_LONGEST_DIVIDED = 9
"""Tokens of a word that lines' ends divide, hyphens included, at most: five parts."""
_MOST_WORDS = 20
"""Words of a name, at most; no name of the ontology has as many."""
_WORD = re.compile(rf"\w+(?:['’{INVISIBLE}]+\w+)*|[^\w\s{INVISIBLE}]|\t")
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


_EVERYDAY = {"hearing loss": "HP:0000365", "disc pallor": "HP:0000543"}
"""Names in every note that the ontology knows as related ones only."""
_DENYING = frozenset(["absent", "absence", "lack", "no", "not", "without", "negative"])
_ABSENCE = ("absent", "absence")
_INTERCHANGED = (
    ("absent", "absence"),
    ("delayed", "delay"),
    ("increased", "elevated", "raised", "high"),
    ("decreased", "reduced", "low", "diminished"),
)
"""First words of names that notes take for one another."""


@dataclass(frozen=True)
class Finding:
    """A term that is named at `text[start:end]`; `excluded` if the note negates it."""

    term: str
    start: int
    end: int
    excluded: bool


_LONGEST_SENTENCE = 400
"""Tokens that are read together. What is longer is no sentence, and takes time by its square."""


class FindingReader:
    """A reader of notes; build it once, since its dictionary takes a second.

    Args:
        ontology: ontology whose phenotypic abnormalities are looked for.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        self._terms = _dictionary(ontology)
        self._unordered = _without_order(self._terms)
        self._longest: dict[str, int] = {}
        for stems in self._terms:
            for stem in stems:
                self._longest[stem] = max(self._longest.get(stem, 0), len(stems))

    def read(self, note: str) -> list[Finding]:
        """Return the findings that the note states or denies of the patient, in text order.

        Of the names that start at a word, the longest counts. Findings that are possible,
        hypothetical or a relative's are left out.
        """
        findings = []
        for segment, tokens in self._sentences(note[:MOST_CHARACTERS]):
            mentions = list(self._mentions(tokens))
            if not mentions:
                continue
            sentence = Sentence(
                tokens, [span for _, span in mentions], [term for term, _ in mentions]
            )
            for number, (term, (first, last)) in enumerate(mentions):
                assertion = _governed(sentence.assertion(number), segment)
                if assertion != "open":
                    excluded = assertion == "excluded"
                    findings.append(Finding(term, tokens[first].start, tokens[last].end, excluded))
        return findings

    def _sentences(self, text: str) -> Iterator[tuple[Segment, list[Token]]]:
        """Yield the tokens of every segment, a very long one in parts."""
        plain = plain_text(text)
        for segment in segments(text):
            tokens = self._with_whole_words(_tokens(plain, segment.start, segment.end))
            for at in range(0, len(tokens), _LONGEST_SENTENCE):
                yield segment, tokens[at : at + _LONGEST_SENTENCE]

    def _with_whole_words(self, tokens: list[Token]) -> list[Token]:
        """Return the tokens, words that a line's end divides ("micro-", "cephaly") as one.

        A hyphen before a blank divides a word; where the whole is no word of a name, as in
        "broad-" above "based", it may join two.
        """
        whole: list[Token] = []
        at = 0
        while at < len(tokens):
            token, size = tokens[at], 1
            while size < _LONGEST_DIVIDED and _is_divided(tokens[at + size - 1 : at + size + 2]):
                size += 2
            for end in range(size, 1, -2):
                word = "".join(part.word for part in tokens[at : at + end : 2])
                if _stem(word) in self._longest:
                    token, size = Token(word, token.start, tokens[at + end - 1].end), end
                    break
            else:
                size = 1
            whole.append(token)
            at += size
        return whole

    def names_finding(self, name: str) -> bool:
        """Return whether a text is the name of a finding, or a synonym, and nothing else."""
        return _stems(name) in self._terms

    def _mentions(self, tokens: Sequence[Token]) -> Iterator[tuple[str, Span]]:
        """Yield the term and the first and last token of every name or id, without overlaps."""
        last: tuple[str, Span] | None = None
        for term, (first, end) in self._names_and_ids(tokens):
            between = [] if last is None else [t.word for t in tokens[last[1][1] + 1 : first]]
            is_id = tokens[first].word.startswith("hp")
            was_id = last is not None and tokens[last[1][0]].word.startswith("hp")
            is_same = last is not None and last[0] == term and (is_id or was_id)
            if last is not None and is_same and between in (["("], ["["], []):
                # "Seizure (HP:0001250)" is one mention, up to the closing bracket.
                last = (term, (last[1][0], min(end + len(between), len(tokens) - 1)))
                continue
            if last is not None:
                yield last
            last = (term, (first, end))
        if last is not None:
            yield last

    def _id_at(self, tokens: Sequence[Token], at: int) -> tuple[str | None, int]:
        """Return the term whose id stands at a token, and the number of its tokens.

        "HP_0001250" has one, "HP 0001250" two, "HP:0001250" three.
        """
        if not tokens[at].word.startswith("hp"):
            return None, 0
        for size in range(1, min(_MOST_PARTS, len(tokens) - at) + 1):
            written = " ".join(token.word for token in tokens[at : at + size])
            found = read_term_id(written) if sum(map(str.isdigit, written)) == _DIGITS else None
            term = self._ontology.resolve(found) if found else None
            if term is not None and self._ontology.is_phenotype(term):
                return term, size
        return None, 0

    def _names_and_ids(self, tokens: Sequence[Token]) -> Iterator[tuple[str, Span]]:
        stems = [_stem(token.word) if token.word[0].isalnum() else token.word for token in tokens]
        kept = [i for i, token in enumerate(tokens) if not _is_transparent(tokens, i)]
        at = 0
        while at < len(kept):
            code, length = self._id_at(tokens, kept[at])
            if code is not None:
                end = kept[at] + length
                yield code, (kept[at], end - 1)
                while at < len(kept) and kept[at] < end:
                    at += 1  # not by `length`, since a hyphen within the id is not kept
                continue
            longest = min(self._longest.get(stems[kept[at]], 0), _MOST_WORDS)
            term, size = self._longest_from(stems, kept[at : at + longest])
            if term is not None:
                yield term, (kept[at], kept[at + size - 1])
            at += size

    def _longest_from(self, stems: Sequence[str], places: list[int]) -> tuple[str | None, int]:
        """Return the term of the longest name that the stems at `places` begin with, and its size.

        Of names with the same number of words, one in the order of the words comes first. Words in
        another order must be adjacent, with nothing left out between them.
        """
        found = tuple(stems[place] for place in places)
        gaps = (size for size, (a, b) in enumerate(pairwise(places), 1) if b != a + 1)
        adjacent = next(gaps, len(places))
        begun = adjacent < len(places) and any(
            found[:size] in self._terms for size in range(1, adjacent + 1)
        )
        for size in range(len(places), 0, -1):
            words = found[:size]
            term = self._terms.get(words)
            if size > 1 and term is not None and adjacent == 1 and self._denies(words):
                return None, 1
            if term is None and size > 1 and (size <= adjacent or not begun):
                term = self._unordered.get(tuple(sorted(words)))
            if term is not None:
                return term, size
        return None, 1

    def _denies(self, words: tuple[str, ...]) -> bool:
        """Return whether a name denies a finding with "of" in it: absence of seizures."""
        return words[0] in _ABSENCE and words[1:] in self._terms


@lru_cache(maxsize=1)
def load_reader(ontology: Ontology) -> FindingReader:
    """Return the reader of an ontology, built once per process."""
    return FindingReader(ontology)


def _is_transparent(tokens: Sequence[Token], index: int) -> bool:
    """Return whether names are matched across a token: small words, hyphens within a word."""
    token = tokens[index]
    if token.word in _SKIPPED:
        return True
    inner = 0 < index < len(tokens) - 1
    return (
        token.word in "-‐‑'’"
        and inner
        and tokens[index - 1].end == token.start
        and (tokens[index + 1].start == token.end or _is_divided(tokens[index - 1 : index + 2]))
    )


def _is_divided(tokens: Sequence[Token]) -> bool:
    """Return whether three tokens are a word, a hyphen right behind it, and a word farther on."""
    if len(tokens) < 3 or tokens[1].word not in "-‐‑":
        return False
    before, hyphen, behind = tokens
    return (
        before.word.isalpha()
        and behind.word.isalpha()
        and before.end == hyphen.start
        and hyphen.end < behind.start
    )


def _governed(assertion: Assertion, segment: Segment) -> Assertion:
    """Return the assertion of a finding under its segment's heading and answer."""
    if segment.value == "yes":
        return assertion
    if segment.value:
        return "excluded" if segment.value == "no" and assertion == "present" else "open"
    if segment.heading in ("relatives", "open"):
        return "open"
    return "excluded" if segment.heading == "negated" and assertion == "present" else assertion


def _tokens(text: str, start: int, end: int) -> list[Token]:
    return [
        Token(match.group().translate(WITHOUT_INVISIBLE).casefold(), match.start(), match.end())
        for match in _WORD.finditer(text, start, end)
    ]


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
    for name, term in _EVERYDAY.items():
        if term in ontology.index:
            synonyms.setdefault(_stems(name), term)
    unambiguous = {stems: term for stems, term in synonyms.items() if term is not None}
    stated = unambiguous | names
    reworded: dict[tuple[str, ...], str | None] = {}
    for stems, term in stated.items():
        for other in _reworded(stems):
            if other[0] in _ABSENCE and other[1:] in stated:
                continue  # "absent seizures" are no absence seizures
            reworded[other] = term if reworded.get(other, term) == term else None
    every = {stems: term for stems, term in reworded.items() if term is not None} | stated
    return {stems: term for stems, term in every.items() if _is_telling(stems)}


def _reworded(stems: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield how notes reword a name: "absence of speech", "raised ferritin"."""
    if len(stems) < 2:
        return
    plain = tuple(stem for stem in stems if stem not in ("circulating", "concentration", "level"))
    for others in _INTERCHANGED:
        if stems[0] not in others:
            continue
        for first in others:
            yield (first, *stems[1:])
            if len(plain) > 1:
                yield (first, *plain[1:])


def _without_order(terms: Mapping[tuple[str, ...], str]) -> Mapping[tuple[str, ...], str]:
    """Return sorted stems -> term, for names of two words and more that are no other term's.

    Notes say "mild intellectual disability" and "finger clinodactyly" where the ontology says
    "Intellectual disability, mild" and "Clinodactyly of fingers".
    """
    found: dict[tuple[str, ...], str | None] = {}
    for stems, term in terms.items():
        if _DENYING & set(stems):
            continue  # "seizures absent" is no absence seizure
        key = tuple(sorted(stems))
        found[key] = term if found.get(key, term) == term else None
    return {key: term for key, term in found.items() if term is not None and len(key) > 1}


def _is_telling(stems: tuple[str, ...]) -> bool:
    """Return whether a name is long enough not to match by chance."""
    return bool(stems) and (len(stems) > 1 or len(stems[0]) > 3)


def _stems(name: str) -> tuple[str, ...]:
    words = (match.group() for match in _WORD.finditer(name))
    return tuple(
        _stem(word) for word in words if word[0].isalnum() and word.casefold() not in _SKIPPED
    )


def _stem(word: str) -> str:
    """Return a word without accents, capitals and plural endings."""
    plain = american(normalise(word).replace(" ", ""))
    for ending, other in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if len(plain) > len(ending) + 2 and plain.endswith(ending) and not plain.endswith("ss"):
            return plain[: -len(ending)] + other
    return plain
