"""Spellings under which a note may name a disease: plain, inverted, without its number, short."""

import re
import unicodedata
from functools import lru_cache

_TYPE = re.compile(
    r"(?<![\s,-])[\s,-]++(?:(?:(?:sub)?type|form|group|class)\s+[\w.-]+"
    r"|\d{1,3}[a-z]{0,2}|[ivx]{1,5}[a-z]?)$",
    re.IGNORECASE,
)
_QUALIFIER = re.compile(
    r"(?:,\s*)?\b(?:autosomal\s+(?:dominant|recessive)|x-linked(?:\s+(?:dominant|recessive))?"
    r"|somatic|digenic|susceptibility to)\b,?",
    re.IGNORECASE,
)
_OPEN_END = re.compile(
    r",?(?<!\s)\s++(?:with(?:out)?\s+or\s+with(?:out)?|with or without)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_BRACKETS = re.compile(r"(?<!\s)\s*+[\[(][^\])]{0,200}[\])]")
_WORD = re.compile(r"[^\W_]+")
LITTLE = frozenset("a an and as by due for from in of on or the to type with without".split())  # noqa: SIM905
_KINDS = frozenset(["syndrome", "disease", "disorder"])
_COMMON = frozenset(
    "ADHD AIDS ALT ASD AST BMI CBC CNS CRP CSF DNA DTR ECG EEG EKG EMG ENT ERG ESR GERD HIV ICU"  # noqa: SIM905
    " IUGR IVF MCV MRA MRI MRS NCV NICU OCT PCR PDA PET RNA SNP TSH UTI VEP VSD WBC WES WGS".split()
)
_GENERAL = frozenset(
    "anomaly congenital disease disorder early familial hereditary infantile juvenile malformation"  # noqa: SIM905
    " multiple neurodevelopmental onset progressive severe syndrome".split()
)

FEWEST_LETTERS = 3
"""Letters of an abbreviation that is masked; shorter ones mean too many things."""


def fold(text: str) -> str:
    """Return a text in small letters without accents, of the same length."""
    return "".join(map(_fold, text))


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character)
    plain = "".join(c for c in plain if not unicodedata.combining(c)).lower()
    return plain if len(plain) == 1 else character


@lru_cache(maxsize=16384)
def spellings(name: str) -> frozenset[str]:
    """Return the full spellings of a disease's name, folded, words joined by one blank.

    >>> sorted(spellings("Leukodystrophy, hypomyelinating, 5"))
    ['hypomyelinating leukodystrophy 5', 'leukodystrophy hypomyelinating 5']
    """
    found = set()
    for part in name.split(";"):
        for text in (part, _BRACKETS.sub("", part)):
            found |= {_words(order) for order in _orders(text)}
    return frozenset(found - {""})


@lru_cache(maxsize=16384)
def base_spellings(name: str) -> frozenset[str]:
    """Return the spellings without the number, type, inheritance or open end of a name.

    They name the disease's family, which gives most of the answer away. One general word, such
    as "syndrome", is none.

    >>> sorted(base_spellings("Noonan syndrome 2"))
    ['noonan syndrome']
    """
    found = set()
    for part in name.split(";"):
        text = _QUALIFIER.sub(" ", _OPEN_END.sub("", _BRACKETS.sub("", part))).strip(" ,")
        for order in (*_orders(text), *_orders(_without_type(text))):
            found.add(_words(_without_type(order)))
        head = re.split(r",|(?<!\s)\s++with(?:out)?\s", text, maxsplit=1)[0]
        if len(_WORD.findall(head)) > 1 or head == text:
            found.add(_words(_without_type(head)))
    kept = {base for base in found if set(base.split()) - _GENERAL}
    return frozenset(kept - spellings(name) - {""})


@lru_cache(maxsize=16384)
def eponyms(name: str) -> frozenset[str]:
    """Return what the full and family names have before "syndrome", "disease" or "disorder".

    General words alone are none.

    >>> sorted(eponyms("Charcot-Marie-Tooth disease, type 1A"))
    ['charcot marie tooth']
    """
    stems = set()
    for spelling in spellings(name) | base_spellings(name):
        stem, _, kind = spelling.rpartition(" ")
        if kind in _KINDS and set(stem.split()) - _GENERAL and len(stem) > FEWEST_LETTERS:
            stems.add(stem)
    return frozenset(stems)


@lru_cache(maxsize=16384)
def abbreviations(name: str) -> frozenset[str]:
    """Return abbreviations of a name that its initials make: at least three letters.

    Those that are common in any note, such as MRI, are left out.

    >>> sorted(abbreviations("Developmental and epileptic encephalopathy 4"))
    ['DEE']
    """
    found = set()
    for part in name.split(";"):
        text = _without_type(_QUALIFIER.sub(" ", _OPEN_END.sub("", _BRACKETS.sub("", part))))
        for order in _orders(text.strip(" ,")):
            words = [word for word in _WORD.findall(order) if word.lower() not in LITTLE]
            for chosen in (words, [word for word in words if word.lower() not in _KINDS]):
                found.add("".join(word[0] for word in chosen).upper())
    return (
        frozenset(
            letters
            for letters in found
            if FEWEST_LETTERS <= len(letters) <= 6 and letters.isalpha()
        )
        - _COMMON
    )


def _orders(text: str) -> tuple[str, ...]:
    """Return a name as it stands and with its commas undone: "B A" for "A, B".

    A number at the end stays there.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) < 2:
        return (text,)
    number = parts.pop() if re.fullmatch(r"(?:type\s+)?[\dIVX]{1,4}[A-Za-z]?", parts[-1]) else ""
    turned = [*reversed(parts), number]
    rotated = [*parts[1:], parts[0], number]
    return (text, " ".join(turned).strip(), " ".join(rotated).strip())


def _without_type(text: str) -> str:
    shorter = _TYPE.sub("", text.strip(" ,"))
    return shorter if shorter == text else _without_type(shorter)


def _words(text: str) -> str:
    plain = re.sub(r"['’`´](?:s\b)?", "", fold(text))
    return " ".join(_WORD.findall(plain))
