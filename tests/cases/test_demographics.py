"""Ages and sexes in the spellings of the field."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_ray.cases.demographics import (
    age_between,
    common_years,
    read_age,
    read_coded_sex,
    read_sex,
)


@pytest.mark.parametrize(
    ("written", "age"),
    [
        ("P9Y", "P9Y"),
        (" p9y\n", "P9Y"),
        ("P9.5Y", "P9Y6M"),
        ("P9,5Y", "P9Y6M"),
        ("P108M", "P9Y"),
        ("P1Y14M", "P2Y2M"),
        ("P3W", "P21D"),
        ("P1Y2M3DT4H", "P1Y2M3D"),
        ("PT12H", "P0D"),
        ("P1.5M", "P1M15D"),
        ("9", "P9Y"),
        ("9.0", "P9Y"),
        (9, "P9Y"),
        (9.5, "P9Y6M"),
        ("9 years", "P9Y"),
        ("9y", "P9Y"),
        ("9 yrs, 3 mo.", "P9Y3M"),
        ("9y3m", "P9Y3M"),
        ("9-year-old", "P9Y"),
        ("9 years old", "P9Y"),
        ("aged 9 years", "P9Y"),
        ("9-year-old human stage", "P9Y"),
        ("108 months", "P9Y"),
        ("3 weeks and 2 days", "P23D"),
        ("1,5 years", "P1Y6M"),
        ("9 Jahre", "P9Y"),
        (0, "P0D"),
    ],
)
def test_ages(written: Any, age: str) -> None:
    assert read_age(written) == age
    assert read_age(age) == age


@pytest.mark.parametrize("written", [None, "", "nan", float("nan"), "unknown", "N/A", " - "])
def test_an_age_that_is_not_stated(written: Any) -> None:
    assert read_age(written) is None


@pytest.mark.parametrize(
    "written",
    [
        "P",
        "-P9Y",
        "-9",
        "- 9 years",
        -9,
        "adult",
        "Adult onset",
        "3-5 years",
        "9 years or 10 years",
        "> 9 years",
        "about 9 years",
        "22 weeks of gestation",
        "130",
        "P9",
        "1e2",
        "2020-01-01",
        True,
        [9],
        float("inf"),
        "P99999999999999999999Y",
    ],
)
def test_what_is_no_age(written: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_age(written)


def test_bare_numbers_count_the_stated_unit() -> None:
    assert [read_age("18", unit) for unit in ("years", "months", "weeks", "days")] == [
        "P18Y",
        "P1Y6M",
        "P126D",
        "P18D",
    ]


@given(st.text())
def test_no_text_is_fatal(text: str) -> None:
    try:
        age = read_age(text)
    except ValueError:
        return
    assert age is None or read_age(age) == age


@given(st.dates(date(1900, 1, 1), date(1990, 1, 1)), st.integers(0, 30_000))
def test_an_age_between_dates_is_the_calendars(birth: date, days: int) -> None:
    encounter = date.fromordinal(birth.toordinal() + days)
    had_birthday = (encounter.month, encounter.day) >= (birth.month, birth.day)
    years = encounter.year - birth.year - (not had_birthday)
    age = age_between(f"{birth}T10:00:00Z", f"{encounter}T09:00:00Z")
    assert age.startswith(f"P{years}Y") if years else "Y" not in age


def test_dates_that_give_no_age() -> None:
    for birth, encounter in (("2020-01-02", "2020-01-01"), ("", "2020-01-01"), ("2020", "x")):
        with pytest.raises(ValueError, match="expected"):
            age_between(birth, encounter)


def test_a_range_within_one_year_is_that_year() -> None:
    assert common_years("P9Y", "P9Y11M") == "P9Y"
    assert common_years("P3M", "P3M") == "P3M"
    for start, end in (("P9Y", "P10Y"), ("P3M", "P4M"), ("P3M", "P1Y")):
        with pytest.raises(ValueError, match="range"):
            common_years(start, end)


@pytest.mark.parametrize(
    ("written", "sex"),
    [
        *((word, "female") for word in ("F", "f.", "Female", " FEMALE ", "w", "woman", "weiblich")),
        *((word, "male") for word in ("M", "male", "Man", "boy", "Male sex")),
        ("PATO:0000383", "female"),
        ("http://purl.obolibrary.org/obo/PATO_0000384", "male"),
        ("SNOMED:248153007", "male"),
        *((word, "unknown") for word in ("", None, "nan", "other", "OTHER_SEX", "unknown", "U")),
    ],
)
def test_sexes(written: Any, sex: str) -> None:
    assert read_sex(written) == sex


@pytest.mark.parametrize("written", ["2", "fm", "PATO:1", 2, True, "not male"])
def test_what_is_no_sex(written: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_sex(written)


def test_digits_are_those_of_the_standard() -> None:
    assert [read_coded_sex(code) for code in ("1", " 2 ", "2.0", 0, "9", "3", "F", None)] == [
        "male",
        "female",
        "female",
        "unknown",
        "unknown",
        None,
        None,
        None,
    ]
