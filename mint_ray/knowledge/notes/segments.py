"""Segments of a clinical note: sentences, with what headings, lists and forms say about them.

A line, a list item, a table's row and a sentence end a segment. A heading ("Family history:",
"Pertinent negatives:") governs the rest of its line; a heading that stands alone governs the lines
below it, until a blank line or the next heading. One of the same kind within a line ("Mother:"
below "Family history:") is a part of what it governs, and ends nothing.
"""

import html
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mint_ray.knowledge.notes.headings import OF_OTHERS, Heading, announced_by, heading_alone
from mint_ray.knowledge.notes.lines import lines_of
from mint_ray.knowledge.notes.tables import find_rows

_TAG = re.compile(r"<[^<>\n]{1,80}>")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,6}|#[xX][0-9a-fA-F]{1,5});")
_NEXT_CELL = re.compile(r"</t[dh]>\s*<t[dh](?:\s[^<>\n]{0,80})?>", re.IGNORECASE)
_NEXT_ROW = re.compile(
    r"(?:</t[dh]>\s*)?</tr>\s*<tr(?:\s[^<>\n]{0,80})?>\s*(?:<t[dh](?:\s[^<>\n]{0,80})?>)?",
    re.IGNORECASE,
)
_BULLET = re.compile(r"\s*(?:[-*•·–—▪o]\s+|\(?\d{1,2}[.)]\s+|[a-zA-Z]\)\s+)+")
_BOX = re.compile(r"\s*(?:[-*•]\s+)?(?:\[([ xX✓✗]?)\]|([☐☒☑]))\s*")
_SENTENCE_END = re.compile(
    r"(?<![.])[.;!]{1,3}(?![.])(?=\s|$)"
    # A whole run of question marks, for parts of it would be tried by the square of its length.
    r"|(?<!\?)\?++(?!\s*:?(?:yes|no|none|n/a|unknown)\b)(?=\s|$)|(?<=\s)--++(?=\s)|(?=[☐☒☑])",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:neg|pos|pt|pts|hx|dr|mr|mrs|ms|vs|approx|ca|e\.g|i\.e|w|abd|ext|resp|esp|incl|bilat|assoc|sig|abnl"
    r"|yrs?|mos?|wks?|[a-z])|\d)\.$",
    re.IGNORECASE,
)
_LONGEST_ABBREVIATION = 8
_LONGEST_INITIAL = 24
_MAY_END = re.compile(r"(?:\d|(?<![.\w])(?:yrs?|mos?|wks?|[a-z]))\.$", re.IGNORECASE)
"""Possible abbreviation that ends a sentence where a capital follows: "since 2019. He"."""
_CAPITAL = re.compile(r"\s+[A-Z][a-z]")
_INITIAL = re.compile(r"\b(?:by|[A-Z][a-z]+)\s+[A-Z]\.$")
_NUMBER_ALONE = re.compile(r"\s*\(?\w{1,2}\.")
_HEADING = re.compile(r"\s*(?:#{1,6}\s*)?([A-Za-z][\w'’/&(), -]{0,48}?)\s*:(?!\w)")
_EXAMINED = re.compile(r"\s*on\s+(?:physical\s+)?exam(?:ination)?\b", re.IGNORECASE)
_EMPHASIS = re.compile(r"(?<!\w)(?:\*{1,3}|_{1,3}|`+)(?=\S)|(?<=\S)(?:\*{1,3}|_{1,3}|`+)(?!\w)")
_OTHER_LINE_ENDS = re.compile(r"\r(?!\n)|[\x0b\x0c\x85\u2028\u2029]")
# A box, a tick or a cross, or a plus or minus at the start of an item: "+fever, -cough".
_SIGN = re.compile(
    r"(?:\(([+−–✓✔✗✘x -])\)|\[([+−–✓✔✗✘xX -]?)\]|([✓✔✅✗✘❌☐☒☑])"
    r"|(?:^|[,;:]\s*)([+−–-])(?=\s?[^\W\d])|(?<=\s)([+−–-])(?=[^\W\d]))\s*"
)
_SIGN_YES, _SIGN_NO = frozenset("+✓✔✅xX☑☒"), frozenset("-−–✗✘❌")

_BOXES = re.compile(
    r"([☐☒☑])\s?(yes|no)\b[,/;]?[ \t]{0,9}([☐☒☑])\s?(yes|no)\b"
    r"|\b(yes|no)\s?([☐☒☑])[,/;]?[ \t]{0,9}(yes|no)\s?([☐☒☑])",
    re.IGNORECASE,
)

_ANSWER = re.compile(
    r"\s*(?:[-*•]\s+)?(?:yes|no|none|nil|never|denie[sd]|absent|present|negative|positive|unknown|n/a)\b",
    re.IGNORECASE,
)
"""Beginning of a line that answers the heading above it."""
_DENIES_ABOVE = re.compile(
    r"\b(?:never|no|not|denie[sd])\b[^.\n]{0,40}\b(?:any|it|them|these|this)\b"
)
"""Denial of the heading above it, which it does not name: "He has never had any"."""


@dataclass(frozen=True)
class Segment:
    """A part of a note, `text[start:end]`, that is read by itself."""

    start: int
    end: int
    heading: Heading
    value: str = ""
    """Answer of the box or sign before it: "yes", "no", or "unknown" for an empty box."""


def plain_text(note: str) -> str:
    """Return a note, as long as before, as it is read.

    It has line feeds between lines, no stars of Markdown, and the answer whose box is ticked.
    """
    plain = _EMPHASIS.sub(lambda marks: " " * len(marks.group()), _with_line_feeds(note))
    return _BOXES.sub(_ticked_answer, plain)


def _with_line_feeds(note: str) -> str:
    return _OTHER_LINE_ENDS.sub("\n", _ENTITY.sub(_character_of, note))


def _character_of(entity: re.Match[str]) -> str:
    """Return an entity of HTML as its character, filled up to its length by what is no word."""
    character = html.unescape(entity.group())
    if len(character) != 1:
        return entity.group()
    filling = " " if character.isspace() else "\N{WORD JOINER}"
    return (" " if character.isspace() else character) + filling * (len(entity.group()) - 1)


def _ticked_answer(boxes: re.Match[str]) -> str:
    """Return the answer whose box is ticked, "?" if not one is, filled up to their length."""
    found = [part for part in boxes.groups() if part]
    marks, answers = (found[::2], found[1::2]) if found[0] in "☐☒☑" else (found[1::2], found[::2])
    ticked = [a for mark, a in zip(marks, answers, strict=True) if mark != "☐"]
    answer = f":{ticked[0] if len(ticked) == 1 else '?'}"
    return answer.ljust(len(boxes.group()) - 1) + ";"


def segments(text: str) -> Iterator[Segment]:
    """Yield the segments of a note in the order of the text; their places are in `plain_text` too.

    Tags of HTML end a segment and are not part of one.
    """
    text = _with_line_feeds(text)
    text = _NEXT_ROW.sub(lambda tags: "\n" + " " * (len(tags.group()) - 1), text)
    text = _NEXT_CELL.sub(lambda tags: "\t" + " " * (len(tags.group()) - 1), text)
    text = _TAG.sub(lambda tag: "\n" + " " * (len(tag.group()) - 1), text)
    heading: Heading = ""
    at = 0
    rows = find_rows(text)  # in which blanks in the place of stars would part columns
    text = plain_text(text)
    for row in rows:
        if not row.cells:
            continue  # read as a line
        heading = yield from _of_lines(text, at, row.start - 1, heading)
        for cell in row.cells:
            if not text[cell.start : cell.end].strip():
                continue
            if cell.answer and heading not in OF_OTHERS:
                yield Segment(cell.start, cell.end, heading, cell.answer)
            else:
                heading = yield from _of_line(text, cell.start, cell.end, heading)
        at = min(row.end + 1, len(text))
    yield from _of_lines(text, at, len(text), heading)


def _of_lines(
    text: str, first: int, last: int, heading: Heading
) -> Generator[Segment, None, Heading]:
    """Yield the segments of the lines of a part of a note; return the heading that goes on."""
    is_new = False  # whether nothing stands below the heading yet
    lines = list(lines_of(text, first, last))
    joined = -1  # last line that was read with the heading above it
    for number, (start, end) in enumerate(lines):
        line = text[start:end]
        if number == joined:
            continue
        if not line.strip():
            heading = heading if is_new else ""
            continue
        box = _BOX.match(line)
        bullet = box or _BULLET.match(line)
        at = start + (bullet.end() if bullet else 0)
        alone = heading_alone(text[at:end])
        is_new = alone is not None
        if alone is not None:
            if alone == "" and announced_by(text[at:end]) is None:
                joined = yield from _of_problem(text, at, lines, number, heading)
            heading = alone
            continue
        # A box or a sign is read with what follows it.
        begin = start if _begins_signed(line) else at
        heading = yield from _of_line(text, begin, end, heading)
    return heading


def _of_problem(
    text: str, at: int, lines: Sequence[tuple[int, int]], number: int, heading: Heading
) -> Generator[Segment, None, int]:
    """Yield the segments of a heading that may name a problem; return the last line read with it.

    A heading of an empty form names none, nor does one that the line below it denies.
    """
    end, below = lines[number][1], _content_below(text, lines, number)
    if below is not None and _ANSWER.match(text, *lines[below]):
        yield from _of_line(text, at, lines[below][1], heading)
        return below
    is_marked = text[lines[number][0] : end].lstrip().startswith("#")
    if is_marked if below is None else not _DENIES_ABOVE.search(text, *lines[below]):
        yield from _of_line(text, at, end, heading)
    return number


def _content_below(text: str, lines: Sequence[tuple[int, int]], number: int) -> int | None:
    """Return the number of the line that tells of a heading; None for a heading of an empty form.

    A blank line may stand below a heading of Markdown alone.
    """
    is_marked = text[lines[number][0] : lines[number][1]].lstrip().startswith("#")
    for below in range(number + 1, len(lines)):
        line = text[slice(*lines[below])]
        if line.strip():
            return below if heading_alone(line) is None else None
        if not is_marked:
            return None
    return None


def _of_line(
    text: str, start: int, end: int, heading: Heading
) -> Generator[Segment, None, Heading]:
    """Yield the sentences of a line; return the heading that goes on below it.

    A heading within the line governs what follows it there.
    """
    goes_on = heading
    for at, stop in _sentences(text, start, end):
        match = _HEADING.match(text, at, stop)
        known = announced_by(match[1]) if match else None
        if match and known is not None:
            heading, at = known, match.end()
            goes_on = goes_on if known == goes_on else ""
        elif heading == "relatives" and _EXAMINED.match(text, at, stop):
            heading = goes_on = ""  # relatives are not examined
        if not _begins_signed(text[at:stop]):
            yield Segment(at, stop, heading)
            continue
        for begin, until, value in _signed(text, at, stop):
            yield Segment(begin, until, heading, "" if heading in OF_OTHERS else value)
    return goes_on


def _begins_signed(text: str) -> bool:
    """Return whether a text begins with a box or a sign that answers what follows it.

    A dash is one only where a plus follows: "- cough, + fever". Otherwise it begins a list's item.
    """
    bare = text.lstrip()
    match = _SIGN.match(bare)
    if match is None:
        item = _BULLET.match(bare)
        return item is not None and _BOX.match(bare, item.end()) is not None
    return not _is_of_item(match) or any(_mark(sign) == "+" for sign in _SIGN.finditer(bare))


def _signed(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, answer) of the parts of a text that have a box or a sign before them."""
    start += len(text[start:end]) - len(text[start:end].lstrip())
    signs = list(_SIGN.finditer(text[start:end].rstrip()))
    if not all(map(_is_of_item, signs)):
        signs = [sign for sign in signs if not _is_of_item(sign)]  # a dash between boxes
    for sign, following in pairwise([*signs, None]):
        if sign is not None:
            until = end if following is None else start + following.start()
            yield start + sign.end(), until, _answer(sign)


def _is_of_item(sign: re.Match[str]) -> bool:
    """Return whether a sign is a plus or minus without brackets."""
    return bool(sign[4] or sign[5])


def _mark(sign: re.Match[str]) -> str:
    return next((group for group in sign.groups() if group), " ")


def _answer(sign: re.Match[str]) -> str:
    """Return "yes" for a tick or plus, "no" for a cross or minus, "unknown" for an empty box."""
    mark = _mark(sign)
    return "yes" if mark in _SIGN_YES else "no" if mark in _SIGN_NO else "unknown"


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for match in _SENTENCE_END.finditer(text, start, end):
        behind = match.end()
        if match.group() == "." and behind < end:
            # Only a few characters back: "a. b. c. d." is one sentence that grows and grows.
            near = max(at, behind - _LONGEST_ABBREVIATION)
            if _ABBREVIATION.search(text, near, behind) and not _ends_all_the_same(
                text, at, behind, end
            ):
                continue
        yield at, behind
        at = behind
    if text[at:end].strip():
        yield at, end


def _ends_all_the_same(text: str, start: int, behind: int, end: int) -> bool:
    """Return whether a full stop behind a number, a letter or a unit ends the sentence."""
    near = max(start, behind - _LONGEST_INITIAL)
    return (
        _MAY_END.search(text, near, behind) is not None
        and _CAPITAL.match(text, behind, end) is not None
        and _INITIAL.search(text, near, behind) is None
        and _NUMBER_ALONE.fullmatch(text, start, behind) is None
    )
