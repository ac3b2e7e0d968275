"""Phrases for notes: the patient, and findings as they read in a sentence."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Proper names that open a label of the ontology and keep their capital inside a sentence.
_EPONYMS = _words(
    """
    Achilles Altman Alzheimer Archibald Auspitz Axenfeld Babinski Barrett Bartholin
    Battle Beau Beevor Bell Bence Bethlem Bitot Blake Bouchard Bowman Brushfield Budd
    Burkitt Bussaca Chaddock Cheyne Chiari Chvostek Civatte Collier Coombs Cotard Crohn
    Dalen Dandy Darier Darwin Descemet Duane Dupuytren Ebstein Entamoeba Erlenmeyer Ewing
    Flexner Fordyce Froment Gaucher Gerbode Gordon Gottron Gowers Graves Hashimoto Heberden
    Heinz Hirano Hodgkin Hoffmann Homer Horner Howell Hurthle Kaposi Kayser Koebner Koeppe
    Lafora Leber Lester Lewy Leydig Lhermitte Lisch Luse Madelung Mallory Marcus McConnell
    Meckel Merkel Michaelis Mizuo Modic Mongolian Oppenheim Paget Pappenheimer Peters Pierre
    Quelprud Raynaud Reye Rieger Rosenthal Scheuermann Schmorl Sertoli Sprengel Trousseau
    Tzanck Uhl Wilson Wolff Wormian Zollinger
    """
)
_PLURAL = _words(
    """
    seizure spasm eye eyebrow ear earlobe fissure finger toe nail rib metacarpal metatarsal
    thumb eyelash
    """
)
_COUNTABLE = _words(
    """
    nose face neck chin forehead philtrum mouth palate bridge tip lip vermilion tongue uvula
    hairline columella gait defect sign murmur cyst hernia tumor sternum hallux crease stenosis
    fold kidney valve chest thorax ridge spine fistula malformation voice cry disorder anomaly
    abnormality pelvis trunk callosum aneurysm block scrotum penis testis foot hand palm sacrum
    uterus spleen liver lung bladder umbilicus adenoma carcinoma nevus hemangioma
    """
)
_AN_LETTERS = "AEFHILMNORSX"
_SEVERITY = re.compile(
    r"(.+), (mild|moderate|severe|profound|borderline|progressive|postnatal|nonprogressive)$"
)
_TEST_RESULT = re.compile(r"(EMG|EEG|MRI): (.+)")
_ALTERNATIVES = re.compile(r"\b([A-Za-z]{5,})/([A-Za-z]{5,})\b")
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_DURATION = re.compile(
    rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?(T[\dHMS.,]+)?"
)


class Person(NamedTuple):
    """Words for the patient in a note, such as "11-year-old girl", "she", "her"."""

    noun: str
    subject: str
    possessive: str


def finding_phrase(label: str) -> str:
    """Return an HPO label as it reads inside a sentence.

    "Intellectual disability, mild" becomes "mild intellectual disability", "High forehead"
    becomes "a high forehead", "EEG abnormality" keeps its capitals.
    """
    text = _lower_first(label)
    if match := _SEVERITY.fullmatch(text):
        text = f"{match[2]} {match[1]}"
    elif match := _TEST_RESULT.fullmatch(text):
        text = f"{match[2]} on {match[1]}"
    elif text.endswith(" for gestational age"):
        return f"being {text}"
    text = _ALTERNATIVES.sub(lambda m: f"{m[1]} or {_lower_first(m[2])}", text)
    if text.startswith("abnormality of "):
        return f"an {text}"
    if " of " in text or " or " in text or text.startswith(("abnormal ", "absent ", "no ")):
        return text
    last = text.rsplit(" ", 1)[-1]
    if last in _PLURAL:
        return f"{text}s" if last != "eyelash" else f"{text}es"
    return with_article(text) if last in _COUNTABLE else text


def with_article(text: str) -> str:
    """Return `text` after "a" or "an", by the sound of its first word."""
    first = text.split("-")[0].split()[0]
    if first.isdigit():
        sounds_like_vowel = first[0] == "8" or first in {"11", "18"}
    elif len(first) > 1 and first.isupper():
        sounds_like_vowel = first[0] in _AN_LETTERS
    else:
        sounds_like_vowel = first[0].lower() in "aeiou" and not first.lower().startswith(
            ("uni", "uro", "eu", "uter", "one")
        )
    return f"{'an' if sounds_like_vowel else 'a'} {text}"


def listing(items: Sequence[str], conjunction: str = "and") -> str:
    """Join items as "a, b and c", with semicolons if an item contains a comma."""
    if len(items) < 2:
        return "".join(items)
    comma = "; " if any("," in item for item in items) else ", "
    return f"{comma.join(items[:-1])} {conjunction} {items[-1]}"


def describe_person(sex: str, age: str | None) -> Person:
    """Return words for a patient from sex and an ISO 8601 age; either may be unknown."""
    subject = {"female": "she", "male": "he"}.get(sex, "the patient")
    possessive = {"female": "her", "male": "his"}.get(sex, "the patient's")
    return Person(_noun(sex, _age_in_days(age)), subject, possessive)


def _noun(sex: str, days: int | None) -> str:
    child = {"female": "girl", "male": "boy"}.get(sex)
    adult = {"female": "woman", "male": "man"}.get(sex)
    if days is None:
        return f"{sex} patient" if child else "patient"
    years, months = days // 365, days // 30
    if days < 1:
        return f"newborn {child or 'infant'}"
    if days < 28:
        return f"{days}-day-old {f'{sex} ' if child else ''}neonate"
    if days < 60:
        return f"{days // 7}-week-old {child or 'infant'}"
    if years < 2:
        return f"{max(months, 1)}-month-old {child or ('infant' if years < 1 else 'child')}"
    if years < 18:
        return f"{years}-year-old {child or ('child' if years < 13 else 'adolescent')}"
    return f"{years}-year-old {adult or 'patient'}"


def _age_in_days(age: str | None) -> int | None:
    """Return the days of an ISO 8601 duration; None if it is not one, or from 125 years on.

    A month has 30 days, a year (also as 12 months) 365 days.
    """
    match = _DURATION.fullmatch(age or "")
    if match is None or not any(match.groups()):
        return None
    years, months, weeks, days = (
        float((value or "0").replace(",", ".")) for value in match.groups()[:4]
    )
    total = 365 * (years + months // 12) + 30 * (months % 12) + 7 * weeks + days
    return int(total) if total < 365 * 125 else None


@lru_cache(maxsize=65536)
def _lower_first(text: str) -> str:
    first, separator, remainder = text.partition(" ")
    head = re.split(r"[-'/]", first)[0]
    keep = len(head) == 1 or any(c.isupper() or c.isdigit() for c in head[1:]) or head in _EPONYMS
    return text if keep else f"{first[0].lower()}{first[1:]}{separator}{remainder}"
