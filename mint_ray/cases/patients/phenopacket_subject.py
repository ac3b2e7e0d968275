"""Age and sex of a phenopacket's subject."""

import re
from collections import Counter
from typing import Any

from mint_ray.cases.demographics import age_between, common_years, read_age, read_sex
from mint_ray.cases.patients.protobuf_json import get_enum, get_field, get_text

# The field of version 2, then those of earlier versions and of converters.
_AGES = (
    "time_at_last_encounter",
    "time_at_encounter",
    "age_at_last_encounter",
    "age_at_collection",
    "age",
)
_SEXES = ("sex", "gender")
_EMPTY: tuple[Any, ...] = (None, "", [], {})
_DURATIONS = ("iso8601duration", "age", "value")
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*", re.DOTALL)
_SEX_NUMBERS = {0: "unknown", 1: "female", 2: "male", 3: "unknown"}  # of the schema's enumeration
# The sex chromosomes of "47,XXY"; those of a mosaic ("45,X/46,XY") are left alone.
_CHROMOSOMES = re.compile(r"(?:45[_,]+(X)|4[6-9][_,]+([XY]{2,5})(?![A-Z0-9])[^/]*)")
_KARYOTYPES = {
    **dict.fromkeys(("XX", "X", "X0", "XO", "XXX", "XXXX", 1, 3, 5, 8), "female"),
    **dict.fromkeys(("XY", "XXY", "XXYY", "XXXY", "XYY", 2, 4, 6, 7, 9), "male"),
}


def read_subject_age(subject: Any, counts: Counter[str]) -> str | None:
    """Return the age at the last encounter as an ISO 8601 duration since birth, or None.

    It is stated as a duration, or follows from the date of birth and that of the encounter. A range
    within one year of life gives that year. Any other statement counts `unmapped_age`: a
    gestational age is before birth, and a stage of life ("Adult onset") is not a duration.
    """
    birth = get_text(subject, "date_of_birth")
    is_unread = False
    for name in _AGES:
        stated = get_field(subject, name)
        if stated in _EMPTY:
            continue
        try:
            age = _age_of(stated, birth)
        except ValueError:
            is_unread = True
            continue
        if age is not None:
            return age
    counts["unmapped_age"] += is_unread
    return None


def read_subject_sex(subject: Any, counts: Counter[str]) -> str:
    """Return `female`, `male` or `unknown`.

    The field may be called `gender`, as in early versions. A sex that is not stated follows from
    the karyotype ("XY", "46,XY"), which counts `sex_from_karyotype`. One that
    cannot be read counts `unmapped_sex`; digits as text are among them, since ISO/IEC 5218 and the
    schema number the sexes in opposite ways.
    """
    given = (get_field(subject, name) for name in _SEXES)
    stated: Any = next((value for value in given if value not in _EMPTY), None)
    if isinstance(stated, dict):
        stated = get_text(stated, "id") or get_text(stated, "label")
    is_unread = False
    if stated not in _EMPTY:
        try:
            is_number = isinstance(stated, int) and not isinstance(stated, bool)
            sex = _SEX_NUMBERS.get(stated) if is_number else read_sex(stated)
        except ValueError:
            sex = None
        if sex in ("female", "male"):
            return sex
        is_unread = sex is None
    karyotype = _karyotype(subject)
    known = _KARYOTYPES.get(karyotype)
    counts["sex_from_karyotype"] += known is not None
    is_unread |= karyotype not in (*_EMPTY, 0, 10, "UNKNOWN", "UNKNOWN_KARYOTYPE", "OTHER")
    counts["unmapped_sex"] += is_unread and known is None
    return known or "unknown"


def _karyotype(subject: Any) -> str | int:
    """Return the sex chromosomes, by name or by number of the enumeration; "" if none are given."""
    written = get_enum(subject, "karyotypic_sex") or get_enum(subject, "karyotype") or ""
    match = _CHROMOSOMES.fullmatch(written) if isinstance(written, str) else None
    return match[1] or match[2] if match else written


def _age_of(stated: Any, birth: str) -> str | None:
    """Return the age that an element of time states; None if it says that none is known.

    Raises:
        ValueError: it is not an age.
    """
    if not isinstance(stated, dict):
        if isinstance(stated, str) and _DATE.fullmatch(stated.strip()):
            return age_between(birth, stated)
        return read_age(stated)
    for name in _DURATIONS:
        inner = get_field(stated, name)
        if inner is not None:
            return _age_of_inner(inner, birth, get_field(stated, "unit"))
    timestamp = get_field(stated, "timestamp")
    if timestamp is not None:
        return age_between(birth, str(timestamp))
    for span in (get_field(stated, "age_range"), get_field(stated, "interval"), stated):
        start, end = get_field(span, "start"), get_field(span, "end")
        if start is not None and end is not None:
            return _common(_age_of_inner(start, birth), _age_of_inner(end, birth))
    stage = get_text(get_field(stated, "ontology_class"), "label")  # "9-year-old stage"
    if not stage:
        raise ValueError("expected an age")
    return read_age(stage)


def _age_of_inner(stated: Any, birth: str, unit: Any = None) -> str | None:
    """Return the age of a message within an element of time, which holds no further ones.

    Args:
        stated: the message, or a value.
        birth: date of birth.
        unit: what stands beside a value as its unit.
    """
    if isinstance(stated, dict):
        unit = get_field(stated, "unit")
        values = [get_field(stated, name) for name in (*_DURATIONS, "timestamp")]
        stated = next((v for v in values if v is not None and not isinstance(v, dict)), None)
        if stated is None:
            raise ValueError("expected an age")
    return _age_of(_with_unit(stated, unit), birth)


def _with_unit(value: Any, unit: Any) -> Any:
    """Return a number with the unit that stands beside it: `{"value": 18, "unit": "months"}`."""
    unit = get_text(unit, "label") or get_text(unit, "id") if isinstance(unit, dict) else unit
    is_bare = isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdigit())
    return f"{value} {unit}" if unit and is_bare and not isinstance(value, bool) else value


def _common(start: str | None, end: str | None) -> str | None:
    if start is None or end is None:
        raise ValueError("expected an age, found a range with one end")
    return common_years(start, end)
