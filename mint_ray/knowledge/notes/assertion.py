"""Assertion of findings in a sentence: stated of the patient, denied, or neither.

Triggers and their scopes follow NegEx and ConText (Chapman et al., J Biomed Inform 2001; Harkema et
al., J Biomed Inform 2009): a trigger governs the findings after it (or before it) up to the end of
its clause. Past and resolved findings count as stated. Of English; the commonest negations of
German, French, Spanish, Italian and Dutch are known too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mint_ray.knowledge.notes.triggers import (
    CONTRACTION,
    EXAMPLES,
    HEAD_OF_OTHER,
    LIKE,
    LINKS,
    LIST_MARKS,
    LIST_OR,
    NEGATION,
    OF_FAMILY,
    OPEN,
    OTHER_NAME_AFTER,
    PATIENT,
    POSSESSIVES,
    PSEUDO,
    RELATIVES,
    REPORTING,
    SUBJECTS,
    TRIGGERS,
    TURN,
    UNCERTAIN,
    VERBS,
    Assertion,
    attends,
    bare,
    has_child,
    is_joined_to_patient,
    is_of_relative,
    length_at_start,
    ticked,
    told_by_history,
)
from mint_ray.knowledge.notes.values import (
    ASKED,
    FINDING,
    MARKS_BEHIND,
    SHORT,
    asks_next,
    value_behind,
    without_code,
)


@dataclass(frozen=True)
class Token:
    """A word or a mark of a sentence, in small letters, at `text[start:end]`."""

    word: str
    start: int
    end: int


Span = tuple[int, int]
"""First and last token of a finding."""


_AGAIN = frozenset(["became", "developed", "appeared", "now", "later"])
_PASSIVE = (["be"], ["been"], ["was"], ["were"], ["is"], ["are"])
_OBSERVED_OF = frozenset(["noted", "reported", "described", "said", "seen", "observed", "thought"])
"""Words behind "was" that tell of what somebody has, not of what somebody says."""
_PARTICIPLES = frozenset(["denied", "excluded", "absent", "ruled", "lacking"])
"""First words of negations that may stand behind what they deny."""
_DENYING = SUBJECTS | RELATIVES | {"has", "have", "had"}
"""Words before such a negation that tell who denies, so that what is denied stands behind it."""
_HAVING = frozenset(
    "any have show report exhibit develop experience display demonstrate reveal".split()  # noqa: SIM905
)
"""Words behind "not" that begin a list of what is denied."""
_PLACES = frozenset(["in", "on", "at", "by", "from", "during"])
_LONGEST_EXAMPLE = 5  # words, with the comma before it


class Sentence:
    """A sentence with its findings, which are judged one by one.

    Args:
        tokens: of the sentence.
        spans: of the findings, in order; their own words are no triggers ("Absent speech").
        terms: of the findings.
    """

    def __init__(
        self, tokens: Sequence[Token], spans: Sequence[Span], terms: Sequence[str]
    ) -> None:
        self._spans, self._terms = list(spans), list(terms)
        self._words = [token.word for token in tokens]
        for first, last in spans:
            for index in range(first, last + 1):
                self._words[index] = FINDING
        # In "27?weeks" and "?109", the mark is a character that was lost, and asks nothing.
        self._joined = {
            index
            for index, (left, right) in enumerate(pairwise(tokens), start=1)
            if left.end == right.start and left.word[-1].isalnum()
        } | {
            index
            for index, (left, right) in enumerate(pairwise(tokens))
            if left.end == right.start and right.word[0].isdigit()
        }
        self._triggers = self._find_triggers()
        self._has_relatives = any(bare(word) in RELATIVES for word in self._words)
        # Of a list, each finding takes what stands behind the last one.
        self._told_after: dict[int, Assertion | None] = {}

    def assertion(self, number: int) -> Assertion:
        """Return what the sentence says of its finding `number`."""
        first, last = self._spans[number]
        after = self._after(number)
        if after in ("excluded", "open"):
            return after
        kind = self._before(number)
        if self._is_of_relative(first, last) or kind in (OPEN, UNCERTAIN):
            return "open"
        return "excluded" if kind == NEGATION else "present"

    # What stands behind a finding.

    def _after(self, number: int) -> Assertion | None:
        if number not in self._told_after:
            self._told_after[number] = self._read_after(number)
        return self._told_after[number]

    def _read_after(self, number: int) -> Assertion | None:
        last = self._spans[number][1]
        words = without_code(self._words[last + 1 :])
        told = told_by_history(words)
        if told is not None:
            return told
        if length_at_start(words, OTHER_NAME_AFTER):
            return "open"
        if words[:2] == ["-", "free"] or words[:1] == ["free"]:
            return "present" if {"since", "for", "until"} & set(words) else "excluded"
        box = ticked(words)
        if box is not None:
            return box
        value = value_behind(words)
        contrast = [word for word in words[:8] if word in ("but", "not")]
        if value is None and contrast == ["but", "not"]:
            value = value_behind(words[words.index("not") :])  # "looked for but not found"
        if value is None and self._is_listed_with_next(number):
            value = self._after(number + 1)  # "Nystagmus and ataxia were absent"
        if value == "excluded" and "but" in words and _AGAIN & set(words[words.index("but") :]):
            return "present"
        return value

    def _is_listed_with_next(self, number: int) -> bool:
        """Return whether a finding and the next one share what stands behind them."""
        if number + 1 >= len(self._spans):
            return False
        last = self._spans[number][1]
        between = self._words[last + 1 : self._spans[number + 1][0]]
        joined = {"and", "or", "/", "und", "et"} & set(self._words[last:])
        if "," in between and not joined:
            return False
        return bool(between) and all(word in LIST_MARKS for word in between)

    # What stands before a finding.

    def _find_triggers(self) -> list[tuple[int, int, str]]:
        """Return the (first, next, kind) of every trigger; the longest one at a place counts.

        What denies the finding before it ("seizures were denied") governs nothing behind it.
        """
        found, at = [], 0
        while at < len(self._words):
            size, kind = self._trigger_at(at)
            is_joined = self._words[at] == "?" and at in self._joined
            if size and not is_joined and not (kind == NEGATION and self._looks_back(at, size)):
                found.append((at, at + size, kind))
            at += max(size, 1)
        return found

    def _trigger_at(self, at: int) -> tuple[int, str]:
        words = self._words[at:]
        if words[:2] == ["non", "-"] and words[2:3] != [FINDING]:
            return 0, ""  # "non-Hispanic", "non-verbal"
        if words[:2] == ["+", "/"]:
            return 0, ""  # "no tremor +/- ataxia"
        sizes = {kind: length_at_start(words, phrases) for kind, phrases in TRIGGERS.items()}
        if CONTRACTION.match(words[0]):
            sizes[NEGATION] = max(sizes[NEGATION], 1)
        kind = max(sizes, key=lambda name: sizes[name])
        return sizes[kind], kind

    def _looks_back(self, at: int, size: int) -> bool:
        """Return whether a negation denies what stands before it, be it a finding or not."""
        before = self._words[max(0, at - 2) : at]
        trigger = self._words[at : at + size]
        following = self._words[at + size : at + size + _LONGEST_EXAMPLE]
        ended = not following or following[0] in MARKS_BEHIND or asks_next(following)
        is_short = size == 1 and (trigger[0] in SHORT or trigger[0] == "denies")
        if is_short and before[:1] == [FINDING]:
            return before[-1] in LINKS and ended
        if is_short and before and before[-1] in ASKED:
            return ended and following[:1] not in (["and"], ["/"])  # "Consanguinity: no, seizures"
        if trigger[0] == "-" and before[-1:] == [FINDING]:
            return True  # "seizures -ve"
        if trigger[0] not in _PARTICIPLES:
            return False
        if length_at_start(following[following[:1] == [","] :], EXAMPLES):
            return False  # "other signs were absent, such as seizures"
        if trigger[0] in ("denied", "excluded", "ruled") and before[-1:] in _PASSIVE:
            return True  # "scoliosis cannot be excluded"
        if FINDING in before:
            return following[:1] != ["for"]
        # "Speech absent, seizures", but "he denied, when asked, seizures".
        is_active = not before or before[-1] in _DENYING
        return not is_active and (ended or following[0] in ("with", "since"))

    def _before(self, number: int) -> str:
        """Return the kind of the trigger that governs a finding, "" if none does."""
        first = self._spans[number][0]
        earlier = [trigger for trigger in self._triggers if trigger[1] <= first]
        for index in range(len(earlier) - 1, -1, -1):
            start, end, kind = earlier[index]
            if kind in (TURN, PSEUDO):
                return ""
            if not self._reaches(start, end, number, kind):
                return ""
            if kind == UNCERTAIN and any(
                other == NEGATION and start - stop < 4 for _, stop, other in earlier[:index]
            ):
                return NEGATION  # "no episodes suggestive of syncope"
            return kind
        return ""

    def _reaches(self, start: int, end: int, number: int, kind: str) -> bool:
        """Return whether the scope of the trigger `start:end` holds a finding behind it."""
        first = self._spans[number][0]
        between = self._words[end:first]
        if ")" in between or ("(" in between and kind == NEGATION):
            return False
        if self._words[start:end] == ["non"] and between[:1] == ["-"]:
            return len(between) == 1  # one compound only
        if any(mark in between for mark in (";", ":", "|", "\t", "--")):
            return False
        if kind == OPEN:
            return not ("," in between and POSSESSIVES & set(between))
        if kind == UNCERTAIN:
            return "," not in between or bool(LIST_OR & set(self._words[end:]))
        if between and between[0] in HEAD_OF_OTHER:
            return "for" not in between and "of" not in between
        if POSSESSIVES & set(between[1:]):
            return False  # "not bothered by her myopia"
        for index, word in enumerate(between):
            if word in VERBS and index and self._starts_anew(between, index):
                return False
        return not self._leaves_list(start, number, between)

    def _starts_anew(self, between: Sequence[str], index: int) -> bool:
        """Return whether a verb between trigger and finding begins another statement."""
        before = between[index - 1]
        if before in ("to", "not", "never", "no") or CONTRACTION.match(before):
            return False
        return FINDING in between[:index] or before in {",", "and"} | SUBJECTS

    def _leaves_list(self, start: int, number: int, between: Sequence[str]) -> bool:
        """Return whether the finding behind a comma is no part of a list of denied ones.

        "No ptosis, diplopia, facial palsy." denies all three. "No fever, no cough, short neck."
        does not: where each item has a "no" of its own, one without it stands outside. So does
        what has a verb of its own, or was denied before ("no scoliosis at 5, scoliosis at 9").
        """
        if "," not in between:
            return False
        first, last = self._spans[number]
        behind = self._words[last + 1 : last + 3]
        comma = len(between) - 1 - list(reversed(between)).index(",")
        is_last = LIST_OR & {*between[comma:]}  # "no ataxia, tremor, or chorea were seen"
        if (
            behind
            and behind[0] in VERBS - {"with", "is"}
            and len(between) - comma <= 3
            and not is_last
        ):
            return True
        if self._terms[number] in self._terms[:number] or self._denies_one_thing(start, between):
            return True
        others = [t for t in self._triggers if t[2] == NEGATION and t[0] < start]
        repeated = any(self._words[t[0]] == self._words[start] for t in others)
        behind = self._words[first:]
        item = behind[: behind.index(",")] if "," in behind else behind
        return repeated and not LIST_OR & {*between, *item}

    def _denies_one_thing(self, start: int, between: Sequence[str]) -> bool:
        """Return whether a negation denies what stands before the first comma, and no list.

        So it is where that is no finding, as in "not able to walk, seizures", unless examples,
        alternatives or another denial follow. After "no" it may well be the first item of a list.
        """
        word, item = self._words[start], between[: between.index(",")]
        if FINDING in item or length_at_start(between[len(item) + 1 :], EXAMPLES):
            return False
        if (LIST_OR | _PARTICIPLES) & {*self._words[start + 1 :]}:
            return False
        if word == "not" or CONTRACTION.match(word):
            return not item or item[0] not in _HAVING
        return bool(item) and (word == "absent" or (word in _PARTICIPLES and item[0] in _PLACES))

    # Whose finding it is.

    def _is_of_relative(self, first: int, last: int) -> bool:
        if not self._has_relatives:
            return False
        before = self._clause_before(first)
        for index in range(len(before) - 1, -1, -1):
            word = bare(before[index])
            if word in PATIENT and not is_of_relative(before, index):
                return False
            if word in RELATIVES:
                shared = is_joined_to_patient(before, index) or attends(before, index)
                return not (shared or self._speaks(before, index) or has_child(before, index))
        after = self._words[last + 1 : last + 5]
        if after[:1] not in (["in"], ["of"], ["bei"], ["on"]):
            return False
        return any(bare(word) in RELATIVES for word in after[1:])

    def _clause_before(self, first: int) -> list[str]:
        """Return the words of the clause before a finding, without closed parentheses."""
        words: list[str] = []
        for word in self._words[:first]:
            if word == ")" and "(" in words:
                words = words[: len(words) - 1 - words[::-1].index("(")]
            elif word in (";", "but", "while", "whereas"):
                words = []
            else:
                words.append(word)
        return words

    def _speaks(self, before: Sequence[str], index: int) -> bool:
        """Return whether a relative reports the finding, or is compared with, but has it not."""
        if before[index] == "family" and not OF_FAMILY & set(before):
            return True
        following = [
            word for word in before[index + 1 :] if word not in ("has", "have", "had", "not")
        ]
        if following[:1] in _PASSIVE and following[1:2] and following[1] in _OBSERVED_OF:
            return False
        preceding = before[max(0, index - 4) : index]
        return bool(set(following[:3]) & REPORTING or set(preceding) & LIKE)
