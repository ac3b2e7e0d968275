"""Masking of what gives a note's answer away: names of its disease, genes, ids, abbreviations.

Only the strings of the case itself are masked, and a disease that the note says was diagnosed.
The name of another disease may well be a finding.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from mint_ray.cases.patients.answer_leak import NUMBERED_ID, SYMBOL, symbol_pattern
from mint_ray.cases.patients.clinical_notes.answer_names import (
    FEWEST_LETTERS,
    abbreviations,
    base_spellings,
    eponyms,
    fold,
    spellings,
)
from mint_ray.cases.patients.clinical_notes.misspelt import misspelt_names, named_by_eponym

MASK = "[masked]"
"""Text that stands in a note in the place of its answer."""

_DIAGNOSED = re.compile(
    r"\b(?:diagnos(?:ed|es)\s+(?:\w+\s+){0,2}?(?:with|as(?:\s+having)?|of)|diagnosis\s+(?:of|was|is)"
    r"|known\s+(?:case\s+of|to\s+have)|(?:affected\s+by|case\s+of|consistent\s+with|indicative\s+of"
    r"|confirm(?:s|ed|ing)?|characteristic\s+of|typical\s+of|suggest(?:s|ive\s+of)))\s+",
    re.IGNORECASE,
)
_DISEASE_NAME = re.compile(
    r"(?:(?:an?|the|his|her|their|clinical|molecular|genetic|definite)\s+)*"
    r"((?:[^\W\d_][\w'’-]*\s+){1,6}?(?:syndrome|disease|disorder|deficiency)"
    r"(?:\s+(?:type\s+)?(?:\d{1,3}[a-z]?|[IVX]{1,4}[a-c]?)\b)?)",
    re.IGNORECASE,
)
_CLAUSE_END = frozenset(
    "a an and but by characterized characterised due for has have in is of or that the this to was"  # noqa: SIM905
    " which who with".split()
)
_VAGUE = frozenset(
    "a an genetic rare condition known specific established particular underlying hereditary"  # noqa: SIM905
    " inherited metabolic neurodevelopmental neurological developmental multisystem systemic"
    " autoimmune skeletal connective tissue mitochondrial chromosomal neuromuscular progressive"
    " congenital complex movement seizure immune bleeding lysosomal storage muscular muscle bone"
    " spectrum kidney renal liver heart cardiac eye retinal skin monogenic severe mild chronic"
    " syndrome disease disorder deficiency autosomal dominant recessive x-linked likely possible"
    " same similar such other neurodegenerative primary".split()
)
_TELLS_DIAGNOSIS = re.compile(
    r"\bdiagnos(?:ed|is|es|tic)\b|\bgenetically confirmed\b|\b(?:causative|pathogenic)\s+"
    r"(?:\w+\s+)?(?:variants?|mutations?|alterations?)\b",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"\s*\(\s*([A-Z][A-Za-z0-9-]{1,9})\s*[);,]")
_PREFIXES = {"ORPHA": r"(?:ORPHA(?:NET|CODE)?|ORDO)", "OMIM": r"O?MIM"}
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))  # they part a name unseen
_TAIL = r"(?:,?\s+(?:sub)?types?\s+[\divxabc]{1,5}\b|[\s-]+\d{1,3}[a-z]?\b)?"


class MaskedNote(NamedTuple):
    """A note without its answer, and counts of what was masked.

    Counts: `masked_names`, `masked_symbols`, `masked_ids`, `masked_abbreviations`,
    `masked_diagnoses` (a disease behind words such as "diagnosed with"), `notes_masked` (whether
    there was any), `notes_telling_of_a_diagnosis` (words such as "genetically confirmed" stay).
    """

    text: str
    counts: Counter[str]


def mask_answer(
    note: str, forbidden: Iterable[str], is_finding: Callable[[str], bool]
) -> MaskedNote:
    """Mask what names a note's answer.

    Args:
        note: text of the note.
        forbidden: names, synonyms, ids and gene symbols of the answer, and publications.
        is_finding: whether a name is that of a finding. The family name of a disease ("retinitis
            pigmentosa" of "Retinitis pigmentosa 19") stays where it is one, unless the note says
            that it was diagnosed.
    """
    counts: Counter[str] = Counter()
    entries = [entry for entry in dict.fromkeys(forbidden) if entry.strip()]
    names: set[str] = set()
    bases: set[str] = set()
    stems: set[str] = set()
    short: set[str] = set()
    text = note.translate(_UNSEEN)
    for entry in entries:
        if ids := _id_pattern(entry):
            text = _replace(text, ids, counts, "masked_ids")
        elif SYMBOL.fullmatch(entry.strip()):
            symbol = symbol_pattern(entry.strip())
            text = _replace(text, symbol, counts, "masked_symbols") if symbol else text
        else:
            names |= spellings(entry)
            bases |= base_spellings(entry)
            stems |= eponyms(entry)
            short |= abbreviations(entry)
            short |= {part.strip() for part in entry.split(";") if _is_abbreviation(part.strip())}
    text = _mask_names(text, names, "", counts, short)
    families = {base for base in bases if not is_finding(base)}
    text = _mask_names(text, families, _TAIL, counts, short)
    others = [*misspelt_names(text, {*names, *families})]
    others += named_by_eponym(text, {stem for stem in stems if set(stem.split()) - _VAGUE})
    text = _mask_spans(text, others, is_finding, counts)
    text = _mask_diagnoses(text, bases - families, is_finding, counts)
    for letters in sorted(short, key=len, reverse=True):
        text = _replace(text, _short_pattern(letters), counts, "masked_abbreviations")
    counts["notes_masked"] = bool(+counts)
    counts["notes_telling_of_a_diagnosis"] = _TELLS_DIAGNOSIS.search(note) is not None
    return MaskedNote(text, +counts)


def _mask_names(
    text: str, names: Iterable[str], tail: str, counts: Counter[str], short: set[str]
) -> str:
    """Mask names, longest first; add to `short` what the note says they are abbreviated to."""
    for name in sorted(names, key=lambda name: (-len(name), name)):
        pattern = _name_pattern(name, tail)
        folded = fold(text)
        if pattern is None or pattern.search(folded) is None:
            continue
        pieces, at = [], 0
        for match in pattern.finditer(folded):
            pieces += [text[at : match.start()], MASK]
            at = match.end()
            counts["masked_names"] += 1
            if defined := _IN_BRACKETS.match(text, at):
                short.add(defined[1])
        text = "".join([*pieces, text[at:]])
    return text


def _mask_spans(
    text: str,
    spans: Iterable[tuple[int, int]],
    is_finding: Callable[[str], bool],
    counts: Counter[str],
) -> str:
    """Mask places that name no finding; of those that overlap, the first and longest."""
    pieces, at = [], 0
    for start, end in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        if start < at or is_finding(text[start:end]):
            continue
        pieces += [text[at:start], MASK]
        at = end
        counts["masked_names"] += 1
    return "".join([*pieces, text[at:]])


def _mask_diagnoses(
    text: str, families: set[str], is_finding: Callable[[str], bool], counts: Counter[str]
) -> str:
    """Mask a disease that follows words of a diagnosis, unless it is a finding or names nothing.

    A family name that is also a finding is masked there too.
    """
    pieces, at = [], 0
    for told in _DIAGNOSED.finditer(text):
        if told.start() < at:
            continue
        span = _family_behind(text, told.end(), families) or _disease_behind(
            text, told.end(), is_finding
        )
        if span is not None:
            pieces += [text[at : span[0]], MASK]
            at = span[1]
            counts["masked_diagnoses"] += 1
    return "".join([*pieces, text[at:]])


def _family_behind(text: str, start: int, families: Iterable[str]) -> tuple[int, int] | None:
    clause = re.split(r"[.;\n]", fold(text[start : start + 120]), maxsplit=1)[0]
    for name in sorted(families, key=len, reverse=True):
        pattern = _name_pattern(name, _TAIL)
        if pattern is not None and (match := pattern.search(clause)):
            return start + match.start(), start + match.end()
    return None


def _disease_behind(
    text: str, start: int, is_finding: Callable[[str], bool]
) -> tuple[int, int] | None:
    match = _DISEASE_NAME.match(text, start)
    if match is None:
        return None
    words = match[1].casefold().split()
    vague = set(words) <= _VAGUE
    if vague or set(words) & _CLAUSE_END or is_finding(match[1]) or MASK in match[1]:
        return None
    return match.span(1)


@lru_cache(maxsize=16384)
def _name_pattern(name: str, tail: str) -> re.Pattern[str] | None:
    words = name.split()
    if len(name) < FEWEST_LETTERS or not words:
        return None
    spelt = [rf"{re.escape(word)}(?:['’]?s)?" for word in words]
    return re.compile(r"(?<!\w)" + r"[\W_]{1,3}".join(spelt) + tail + r"(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=16384)
def _short_pattern(letters: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![A-Za-z0-9]){re.escape(letters)}(?:-?\d{{1,3}}[A-Za-z]?)?(?![A-Za-z0-9])"
    )


def _id_pattern(entry: str) -> re.Pattern[str] | None:
    match = NUMBERED_ID.fullmatch(entry.strip())
    if match is None:
        return None
    digits = rf"(?<!\d)0*{match[2]}(?!\d)"
    prefix = _PREFIXES.get(match[1].upper(), re.escape(match[1]))
    marked = rf"{prefix}[\W_]{{0,4}}{digits}"
    return re.compile(marked if len(match[2]) < 6 else rf"{marked}|{digits}", re.IGNORECASE)


def _is_abbreviation(text: str) -> bool:
    return len(text) >= FEWEST_LETTERS and SYMBOL.fullmatch(text) is not None


def _replace(text: str, pattern: re.Pattern[str], counts: Counter[str], kind: str) -> str:
    text, number = pattern.subn(MASK, text)
    counts[kind] += number
    return text
