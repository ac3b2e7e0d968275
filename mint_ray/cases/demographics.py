"""Ages and sexes of patients, read from the spellings in which people write them.

An age becomes an ISO 8601 duration in years, months and days (`P9Y`, `P1Y2M`, `P21D`), a sex one of
`SEXES`. A value that says that nothing is known gives nothing; a value that cannot be read raises
ValueError, so that it can be counted.
"""

import datetime
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Literal

import isodate

from mint_ray.cases.schema import SEXES

AgeUnit = Literal["years", "months", "weeks", "days"]

MAX_YEARS = 125
"""Age from which a statement is taken for an error."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNSTATED = _words(
    """
    nan none null na n/a n.a. nil nd unknown unspecified undisclosed unavailable missing ~ - -- ? .
    """
) | {"", "not available", "not known", "not stated", "not recorded", "not provided", "<na>"}
"""Words of tables for a value that is not there, in small letters."""

_DAYS: dict[AgeUnit, Decimal] = {
    "years": Decimal("365.25"),
    "months": Decimal("30.4375"),
    "weeks": Decimal(7),
    "days": Decimal(1),
}
_NUMBER = r"\d+(?:[.,]\d+)?"
_UNITS: tuple[tuple[AgeUnit, str], ...] = (
    ("years", r"years?|yrs?|y/?o|y|a|jahren?|jahre|j|ans|años"),
    ("months", r"months?|mths?|mons?|mos?|m|monaten?|monate|mois|meses"),
    ("weeks", r"weeks?|wks?|w|wochen?"),
    ("days", r"days?|d|tagen?|tage|jours?"),
)
_PART = re.compile(
    rf"({_NUMBER})[\s-]*(?:"
    + "|".join(f"(?P<{unit}>{words})" for unit, words in _UNITS)
    + r")(?![a-zäöüñ])\.?",
)
# Words that may stand around an age. Others, "of onset" among them, change what is said.
_AROUND = re.compile(
    r"\b(?:and|und|old|of age|age|aged|alt|stage|human|at last encounter)\b|[,:;&()-]"
)
_GESTATION = re.compile(r"gestation|prenatal|fetal|foetal|weeks? pregnant|\bgw\b|\+\d/7")

_FEMALE, _MALE = SEXES
_SEX_WORDS: dict[str, str] = {
    **dict.fromkeys(
        _words("f female fem w weiblich woman women girl femme féminin femenino mujer feminine"),
        _FEMALE,
    ),
    **dict.fromkeys(
        _words("m male masc man men boy männlich homme masculin masculino hombre masculine"), _MALE
    ),
}
_SEX_IDS = {
    "PATO:0000383": _FEMALE,
    "PATO:0000384": _MALE,
    "PATO:0020002": _FEMALE,  # female genotypic sex
    "PATO:0020001": _MALE,
    "NCIT:C16576": _FEMALE,
    "NCIT:C20197": _MALE,
    "SNOMEDCT:248152002": _FEMALE,
    "SNOMEDCT:248153007": _MALE,
}
_SEX_PREFIXES = {"SNOMED": "SNOMEDCT", "SCTID": "SNOMEDCT", "SCT": "SNOMEDCT"}
_NEITHER = _words(
    "other other_sex unknown_sex intersex diverse divers d x u o indeterminate undetermined"
)
_ISO_5218 = {"0": "unknown", "1": _MALE, "2": _FEMALE, "9": "unknown"}


def read_age(value: object, unit: AgeUnit = "years") -> str | None:
    """Return an age since birth as an ISO 8601 duration, or None where none is stated.

    Read are ISO 8601 durations in any case, with fractions and weeks; numbers with units in words
    (`9 years 3 months`, `9y`, `108 months`, `9-year-old`); and bare numbers, which count `unit`.
    Twelve months are a year, a week has seven days; the fraction of a year is given in whole
    months and that of a month in days.

    Raises:
        ValueError: anything else, an age before birth, or one of `MAX_YEARS` or more.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("expected an age as text or number")
    text = " ".join(str(value).split()).strip("\"'").lower()
    if text in UNSTATED:
        return None
    if re.fullmatch(rf"{_NUMBER}", text, re.ASCII):
        return _duration({unit: _decimal(text, unit)})
    if text.startswith(("p", "+p")):
        return _duration(_of_iso(text))
    return _duration(_of_words(text))


def age_between(birth: str, encounter: str) -> str:
    """Return the age at an encounter, in whole years and months; below a month, in days.

    Args:
        birth, encounter: ISO 8601 dates or times; their time of day does not count.

    Raises:
        ValueError: one is not a date, or the encounter is before birth.
    """
    born, seen = _date(birth), _date(encounter)
    months = 12 * (seen.year - born.year) + seen.month - born.month - (seen.day < born.day)
    if seen < born:
        raise ValueError("expected an encounter after birth")
    if months:
        return _duration({"months": Decimal(months)})
    return _duration({"days": Decimal((seen - born).days)})


def common_years(start: str, end: str) -> str:
    """Return the whole years of two ages (of `read_age`) where both have the same ones.

    Raises:
        ValueError: they differ, or are below one year and not equal.
    """
    years = {re.match(r"P(\d+Y)?", age)[1] for age in (start, end)}  # type: ignore[index]
    if start == end:
        return start
    if len(years) == 1 and None not in years:
        return f"P{years.pop()}"
    raise ValueError("expected an age, found a range of several years")


def read_sex(value: object) -> str:
    """Return `female`, `male`, or `unknown` for a sex that is neither or not stated.

    Read are words and initials of several languages, in any case, and the ids of PATO, NCIT and
    SNOMED CT. Digits are not read; see `read_coded_sex`.

    Raises:
        ValueError: anything else.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "unknown"
    if not isinstance(value, str):
        raise ValueError("expected a sex as text")
    text = " ".join(value.split()).strip("\"'.").lower()
    if text in UNSTATED or text in _NEITHER:
        return "unknown"
    word = re.sub(r"\s*(?:sex|patient|genotypic sex)$", "", text.removeprefix("sex:").strip())
    if word in _SEX_WORDS:
        return _SEX_WORDS[word]
    name = re.split(r"[/#]", text.upper())[-1]
    prefix, _, number = name.replace("_", ":", 1).replace(" ", "").partition(":")
    curie = f"{_SEX_PREFIXES.get(prefix, prefix)}:{number}"
    if curie in _SEX_IDS:
        return _SEX_IDS[curie]
    raise ValueError("expected a sex")


def read_coded_sex(value: object) -> str | None:
    """Return the sex of a digit of ISO/IEC 5218 (1 male, 2 female), None if it is not one.

    The enumeration of phenopackets numbers them the other way round.
    """
    return _ISO_5218.get(re.sub(r"\.0$", "", str(value).strip()))


def _of_iso(text: str) -> dict[AgeUnit, Decimal]:
    try:
        duration = isodate.parse_duration(
            text.upper().replace(" ", ""), as_timedelta_if_possible=False
        )
    except (ValueError, InvalidOperation, OverflowError, AttributeError) as error:
        raise ValueError("expected an ISO 8601 duration") from error
    seconds = Decimal(duration.tdelta.seconds) / 86400
    days = Decimal(duration.tdelta.days) + seconds
    return {"years": Decimal(duration.years), "months": Decimal(duration.months), "days": days}


def _of_words(text: str) -> dict[AgeUnit, Decimal]:
    parts: dict[AgeUnit, Decimal] = {}
    for match in _PART.finditer(text):
        unit: AgeUnit = next(unit for unit, _ in _UNITS if match[unit])
        if unit in parts:
            raise ValueError("expected one age, found several")
        parts[unit] = _decimal(match[1], unit)
    remainder = _AROUND.sub(" ", _PART.sub(" ", text)).strip()
    if not parts or remainder or text.startswith("-") or _GESTATION.search(text):
        raise ValueError("expected an age with its unit")
    return parts


def _decimal(text: str, unit: AgeUnit) -> Decimal:
    # "6,570 days" are thousands, "2,5 years" a fraction.
    thousands = unit == "days" and re.fullmatch(r"\d{1,2},\d{3}", text, re.ASCII)
    return Decimal(text.replace(",", "" if thousands else "."))


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text.strip()[:10])
    except ValueError as error:
        raise ValueError("expected a date such as 2020-01-31") from error


def _duration(parts: dict[AgeUnit, Decimal]) -> str:
    """Return parts in years, months and whole days, without signs and fractions."""
    if any(value < 0 for value in parts.values()):
        raise ValueError("expected an age since birth, found a negative one")
    if sum(_DAYS[unit] * value for unit, value in parts.items()) >= MAX_YEARS * _DAYS["years"]:
        raise ValueError(f"expected an age below {MAX_YEARS} years")
    zero = Decimal(0)
    months = 12 * parts.get("years", zero) + parts.get("months", zero)
    whole_months = int(months)
    of_years = parts.get("months", zero) == 0
    fraction = zero if of_years and whole_months else months - whole_months
    days = int(parts.get("days", zero) + 7 * parts.get("weeks", zero) + 30 * fraction)
    years, rest = divmod(whole_months, 12)
    written = "".join(f"{n}{unit}" for n, unit in ((years, "Y"), (rest, "M"), (days, "D")) if n)
    return f"P{written or '0D'}"
