"""Headings of clinical notes, and what they say of the findings below them."""

import re
from typing import Literal

Heading = Literal["relatives", "negated", "open", ""]
"""Kind of a heading: it announces findings of relatives, absent or possible ones; "" for others."""
OF_OTHERS: frozenset[Heading] = frozenset(["relatives", "open"])
"""Kinds below which an answer tells nothing of the patient."""

_MARKED_HEADING = re.compile(r"\s*#{1,6}\s+[^\n]{1,60}")  # of Markdown

_PATIENT_HEADINGS = (
    "past medical history|medical history|pmh|pmhx|history|history of present illness|hpi"
    "|presenting complaint|complaint|chief complaint|cc|review of systems|ros|examination"
    "|physical examination|exam|on examination|o/e|impression|assessment|findings|diagnosis"
    "|birth history|perinatal history|development|developmental history|patient|summary|problems"
    "|positives|pertinent positives|present|positive|positive for|positive findings"
    "|observed|seen|found|confirmed|definite|mri|eeg|echo"
    "|the patient has|proband|index|index patient|index case"
    "|neuro|neurology|neurologic|neurological|neurological exam|neurologic exam|on exam|pe|msk"
    "|neurological examination|physical findings|labs|imaging|clinical|child|endorses|endorsed"
    "|social history|social hx|shx|abdomen|abd|ext|heart|eyes|ears|skin|face|limbs|growth"
    "|allergies|drug allergies|pos|pertinent pos|reports|complains of|admits"
)
_RELATIVES_HEADINGS = (
    "family history|family hx|fam hx|fam history|family medical history|fh|fhx|family"
    "|mother|father|parents|siblings|brother|sister"
    "|relatives|maternal family|paternal family|familienanamnese|antécédents familiaux"
)
_NEGATED_HEADINGS = (
    "negatives|pertinent negatives|negative findings|negative|negative for|absent|denies|denied"
    "|not present|not found|excluded|ruled out|without|no evidence of|no|none of|absent findings"
    "|the patient does not have|does not have|she denies|he denies|not seen|no signs of"
    "|the following were not found|the following are absent|not observed|not reported|not noted"
    "|not detected|looked for and not found|neg|pertinent neg"
)
_OPEN_HEADINGS = (
    "plan|differential diagnosis|differential|ddx|side effects|risks|risk factors|red flags"
    "|to rule out|rule out|r/o|recommendations|counselling|counseling"
    "|queries|query|possible|suspected|not assessed|watch for|advice|return precautions"
)
_NAMES_OF: dict[Heading, str] = {
    "": _PATIENT_HEADINGS,
    "relatives": _RELATIVES_HEADINGS,
    "negated": _NEGATED_HEADINGS,
    "open": _OPEN_HEADINGS,
}
_HEADINGS: dict[str, Heading] = {
    name: kind for kind, names in _NAMES_OF.items() for name in names.split("|")
}

# Words that leave the kind of a heading as it is: "Clinical features (absent)".
_NEUTRAL = frozenset(
    "and are by clinical feature features finding findings following hpo in list of other patient"  # noqa: SIM905
    " pertinent phenotype phenotypes phenotypic relevant sign signs symptom symptoms term terms the"
    " were".split()
)
_SOURCE = re.compile(r"\s(?:by|on|at|after|from)\s.*")  # "excluded by MRI", "denied by the mother"

_LONG_NEGATED = [name for name in _NEGATED_HEADINGS.split("|") if " " in name or name == "absent"]


def heading_alone(line: str) -> Heading | None:
    """Return the kind of a line that is a heading and nothing else, None if it is none."""
    is_marked = _MARKED_HEADING.fullmatch(line) is not None
    line = line.strip().strip("# ")
    words, is_closed = _words_of(line), line.endswith(":")
    if is_closed and any(words.startswith(f"{name} ") for name in _LONG_NEGATED):
        return "negated"
    words = _SOURCE.sub("", words) if is_closed else words
    kind = _kind_of(words) if is_closed or len(words) > 3 else None
    if kind is not None:
        return kind
    return "" if is_marked or re.fullmatch(r"[A-Z][\w /&'-]{2,40}:", line) else None


def announced_by(heading: str) -> Heading | None:
    """Return what a heading announces, with or without its source; None if it is not known."""
    return _kind_of(_SOURCE.sub("", _words_of(heading)))


def _words_of(heading: str) -> str:
    """Return a heading in small letters, without its marks."""
    return heading.strip().strip("# ").removesuffix(":").strip().casefold()


def _kind_of(heading: str) -> Heading | None:
    """Return what a heading in small letters announces, None if it is not known."""
    if heading in _HEADINGS:
        return _HEADINGS[heading]
    words = re.sub(r"[(),/]", " ", heading).split()
    return _HEADINGS.get(" ".join(word for word in words if word not in _NEUTRAL))
