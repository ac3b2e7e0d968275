"""Segments of a clinical note: sentences, with what headings, lists and forms say about them.

A line, a list item, a table's row and a sentence end a segment. A heading ("Family history:",
"Pertinent negatives:") governs the rest of its line; a heading that stands alone governs the lines
below it, until a blank line or the next heading.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal

from mint_ray.knowledge.note_tables import find_rows

Heading = Literal["relatives", "negated", "open", ""]
"""What a heading announces: findings of relatives, absent or possible ones; "" for others."""

_TAG = re.compile(r"<[^<>\n]{1,80}>")
_NEXT_CELL = re.compile(r"</t[dh]>\s*<t[dh](?:\s[^<>\n]{0,80})?>", re.IGNORECASE)
_NEXT_ROW = re.compile(
    r"(?:</t[dh]>\s*)?</tr>\s*<tr(?:\s[^<>\n]{0,80})?>\s*(?:<t[dh](?:\s[^<>\n]{0,80})?>)?",
    re.IGNORECASE,
)
_LINE_END = re.compile(r"\n|\Z")
_BULLET = re.compile(r"\s*(?:[-*•·–—▪o]\s+|\(?\d{1,2}[.)]\s+|[a-zA-Z]\)\s+)+")
_BOX = re.compile(r"\s*(?:[-*•]\s+)?(?:\[([ xX✓✗]?)\]|([☐☒☑]))\s*")
_SENTENCE_END = re.compile(
    r"(?<![.])[.;!]{1,3}(?![.])(?=\s|$)|\?+(?!\s*(?:yes|no|none|n/a|unknown)\b)(?=\s|$)|(?<=\s)--+(?=\s)|(?=[☐☒☑])",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:neg|pos|pt|pts|hx|dr|mr|mrs|ms|vs|approx|ca|e\.g|i\.e|w|abd|ext|resp|esp|incl|bilat|assoc|sig|abnl"
    r"|yrs?|mos?|wks?|[a-z])|\d)\.$",
    re.IGNORECASE,
)
_HEADING = re.compile(r"\s*([A-Za-z][\w'’/&(), -]{0,48}?)\s*:(?!\w)")

_PATIENT_HEADINGS = (
    "past medical history|medical history|pmh|pmhx|history|history of present illness|hpi"
    "|presenting complaint|complaint|chief complaint|cc|review of systems|ros|examination"
    "|physical examination|exam|on examination|o/e|impression|assessment|findings|diagnosis"
    "|birth history|perinatal history|development|developmental history|patient|summary|problems"
    "|positives|pertinent positives|present|positive|positive for|positive findings|mri|eeg|echo"
    "|the patient has|neuro|neurology|abdomen|abd|ext|heart|eyes|ears|skin|face|limbs|growth"
)
_RELATIVES_HEADINGS = (
    "family history|family hx|fh|fhx|family|mother|father|parents|siblings|brother|sister"
    "|relatives|maternal family|paternal family|familienanamnese|antécédents familiaux"
)
_NEGATED_HEADINGS = (
    "negatives|pertinent negatives|negative findings|negative|negative for|absent|denies|denied"
    "|not present|not found|excluded|ruled out|without|no evidence of|no|none of|absent findings"
    "|the patient does not have|does not have|she denies|he denies|not seen|no signs of"
    "|the following were not found|the following are absent"
)
_OPEN_HEADINGS = (
    "plan|differential diagnosis|differential|ddx|side effects|risks|risk factors|red flags"
    "|to rule out|rule out|r/o|recommendations|counselling|counseling"
    "|queries|not assessed|watch for|advice"
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


_LONG_NEGATED = [name for name in _NEGATED_HEADINGS.split("|") if " " in name or name == "absent"]
_CONTINUING = frozenset(
    "a an and any by for from had has have in is no nor not of on or the to was were with without"  # noqa: SIM905
    " denied denies his her never".split()
)
"""Last words of a line that go on in the next one."""


@dataclass(frozen=True)
class Segment:
    """A part of a note, `text[start:end]`, that is read by itself."""

    start: int
    end: int
    heading: Heading
    value: str = ""
    """Answer of the box before it: "yes" where it is ticked, "unknown" where it is not."""


def segments(text: str) -> Iterator[Segment]:
    """Yield the segments of a note in the order of the text.

    Tags of HTML end a segment and are not part of one.
    """
    text = _NEXT_ROW.sub(lambda tags: "\n" + " " * (len(tags.group()) - 1), text)
    text = _NEXT_CELL.sub(lambda tags: "\t" + " " * (len(tags.group()) - 1), text)
    text = _TAG.sub(lambda tag: "\n" + " " * (len(tag.group()) - 1), text)
    heading: Heading = ""
    at = 0
    for row in find_rows(text):
        if not row.cells:
            continue  # read as a line
        heading = yield from _of_lines(text, at, row.start - 1, heading)
        for cell in row.cells:
            if not text[cell.start : cell.end].strip():
                continue
            about_patient = heading not in ("relatives", "open")
            if cell.answer and about_patient:
                yield Segment(cell.start, cell.end, heading, cell.answer)
            else:
                yield from _of_line(text, cell.start, cell.end, heading, "")
        at = min(row.end + 1, len(text))
    yield from _of_lines(text, at, len(text), heading)


def _of_lines(
    text: str, first: int, last: int, heading: Heading
) -> Generator[Segment, None, Heading]:
    """Yield the segments of the lines of a part of a note; return the heading that goes on."""
    for start, end in _lines(text, first, last):
        line = text[start:end]
        if not line.strip():
            heading = ""
            continue
        box = _BOX.match(line)
        bullet = box or _BULLET.match(line)
        at = start + (bullet.end() if bullet else 0)
        alone = _heading_alone(text[at:end])
        if alone is not None:
            heading = alone
            continue
        value = _answer(box) if box else ""
        yield from _of_line(text, at, end, heading, value)
    return heading


def _lines(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of lines; lines of prose that were wrapped are joined."""
    if start >= stop:
        return
    for match in _LINE_END.finditer(text, start, stop):
        end = match.start()
        line, below = text[start:end], text[end + 1 : end + 81].lstrip(" ")
        last = line.rstrip()[-1:]
        open_end = last not in ".:;!?|" and below[:1].islower() and "\t" not in line
        word = line.rstrip().rpartition(" ")[2].casefold()
        if end < stop and open_end and (len(line) >= 60 or word in _CONTINUING):
            continue  # the same sentence goes on below
        yield start, end
        start = end + 1


def _heading_alone(line: str) -> Heading | None:
    """Return the kind of a line that is a heading and nothing else, None if it is none."""
    words = line.strip().rstrip(":").strip().casefold()
    if line.strip().endswith(":") and any(words.startswith(f"{name} ") for name in _LONG_NEGATED):
        return "negated"
    if words in _HEADINGS and (line.strip().endswith(":") or len(words) > 3):
        return _HEADINGS[words]
    return "" if re.fullmatch(r"\s*[A-Z][\w /&'-]{2,40}:\s*", line) else None


def _of_line(text: str, start: int, end: int, heading: Heading, value: str) -> Iterator[Segment]:
    """Yield the sentences of a line; a heading within the line governs what follows it there."""
    for at, stop in _sentences(text, start, end):
        match = _HEADING.match(text, at, stop)
        known = match and _HEADINGS.get(match[1].strip().casefold())
        if match and known is not None:
            heading, at = known, match.end()
        box = _BOX.match(text, at, stop)
        if box:
            value = _answer(box)
        yield Segment(at, stop, heading, value)


def _answer(box: re.Match[str]) -> str:
    """Return "yes" for a ticked box, "unknown" for an empty one."""
    return "unknown" if (box[1] or box[2] or " ") in " ☐" else "yes"


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for match in _SENTENCE_END.finditer(text, start, end):
        head = text[at : match.end()]
        if match.group() == "." and _ABBREVIATION.search(head) and match.end() < end:
            continue
        yield at, match.end()
        at = match.end()
    if text[at:end].strip():
        yield at, end
