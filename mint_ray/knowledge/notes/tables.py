"""Tables in clinical notes, in which findings and answers stand in columns.

Columns are parted by bars, tabs, commas under a head, rows of dots, or two blanks and more. A row
is only taken apart where its answer is a plain one ("No", "+", a tick). Every other row is left to
be read as a line.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mint_ray.knowledge.notes.triggers import RELATIVES

Answer = Literal["yes", "no", "unknown"]
Span = tuple[int, int]

_YES = frozenset(
    "yes y present positive pos + ++ +++ x ✓ ✔ ☑ ☒ true t 1 observed seen ja oui sí affected"  # noqa: SIM905
    " confirmed +ve".split()
)
_NO = frozenset(
    "no n absent negative neg - – − — false f 0 none nil excluded denied never nein non -ve".split()  # noqa: SIM905
) | {"not present", "not observed", "not seen", "not found", "ruled out"}
_UNKNOWN = frozenset("? unknown n/a na nd unclear uncertain".split()) | {  # noqa: SIM905
    "not examined",
    "not assessed",
    "not tested",
    "not done",
    "not known",
    "not available",
    "not recorded",
    "",
}
_TICKS = _YES | {"•", "*", "o"}

_NAME_HEADS = frozenset(
    "finding findings feature features symptom symptoms sign signs phenotype phenotypes term name"  # noqa: SIM905
    " item condition description label system problem manifestation complaint abnormality".split()
) | {
    "clinical feature",
    "clinical features",
    "clinical finding",
    "phenotypic feature",
    "hpo term",
    "hpo label",
    "hpo name",
    "hpo",
    "hpo id",
    "hpo_id",
    "hpo code",
    "hp id",
    "term id",
    "code",
}
_STATUS_HEADS = frozenset(
    "present status observed value result results presence assessment state answer patient proband"  # noqa: SIM905
    " index case affected yes/no y/n present/absent +/- found".split()
) | {
    "finding present",
    "index patient",
    "index case",
    "in patient",
    "the patient",
    "patient status",
}
_ABSENT_HEADS = frozenset(
    ["absent", "excluded", "denied", "not present", "negative", "not observed"]
)
_YES_HEADS = frozenset(["yes", "y", "present", "positive", "+", "affirmed"])
_NO_HEADS = _ABSENT_HEADS | {"no", "n", "-"}
_OTHER_HEADS = frozenset(["control", "controls", "population"])

# A note may have a line of 100,000 characters: no expression may read a run of marks twice.
_STROKE, _RULE_MARKS = re.compile(r"[-=_]{2}"), "|:+=_-"
_GAP = re.compile(r"(?<! ) ++\.{3,} *|\.{3,} *|(?<=\S) {2,}+(?=\S)")
_BOX = re.compile(r"[(\[]\s*+(?:[xX✓]\s*+)?[)\]]")
_REMARK = re.compile(r"\([^)]{0,80}\)")
_PAIR = re.compile(r"[^:]{2,60}:\s*\S.*")


@dataclass(frozen=True)
class Cell:
    """A part of a row, `text[start:end]`, with the answer that the table gives to it, if any."""

    start: int
    end: int
    answer: Answer | Literal[""] = ""


@dataclass(frozen=True)
class Row:
    """A row of a table, `text[start:end]`: its cells, or none where it is to be read as a line."""

    start: int
    end: int
    cells: tuple[Cell, ...]


def find_rows(text: str) -> Iterator[Row]:
    """Yield the rows of all tables in the order of the text, their heads left out.

    Lines that are no part of a table are not yielded.
    """
    block: list[tuple[Span, list[Span]]] = []
    kind = ""
    for line in _physical_lines(text):
        content = text[slice(*line)]
        if block and _is_rule(content):
            continue
        found, cells = _split(text, line, bool(block) and kind == ",")
        if block and found != kind:
            yield from _rows_of(text, block, kind == " ")
            block = []
        kind = found
        if kind:
            block.append((line, cells))
    yield from _rows_of(text, block, kind == " ")


def _physical_lines(text: str) -> Iterator[Span]:
    start = 0
    for match in re.finditer(r"\n|\Z", text):
        yield start, match.start()
        start = match.end()


def _is_rule(line: str) -> bool:
    """Return whether a line is a rule between rows: "|---|:--:|", "=====", "+----+"."""
    return not "".join(line.split()).strip(_RULE_MARKS) and _STROKE.search(line) is not None


def _split(text: str, line: Span, in_commas: bool) -> tuple[str, list[Span]]:
    """Return how the cells of a line are parted, "" if they are not, and their spans."""
    content = text[slice(*line)]
    if not content.strip():
        return "", []
    for mark in "|\t":
        if mark in content:
            spans = _parts(text, line, re.escape(mark))
            return mark, _outer_removed(content, spans) if mark == "|" else spans
    if _GAP.search(content.strip()):
        return " ", _parts(text, line, _GAP.pattern)
    for mark in ",;":
        cells = _parts(text, line, mark)
        if len(cells) > 1 and (in_commas or _are_heads([_head_of(text, cell) for cell in cells])):
            return ",", cells
    return "", []


def _are_heads(heads: Sequence[str]) -> bool:
    """Return whether words between commas can be the heads of a table."""
    answers = _STATUS_HEADS | _ABSENT_HEADS | _YES_HEADS
    return heads[0] in _NAME_HEADS or bool({*heads} & _NAME_HEADS and {*heads} & answers)


def _parts(text: str, line: Span, pattern: str) -> list[Span]:
    start, end = line
    while start < end and text[start] == " " and pattern == _GAP.pattern:
        start += 1
    spans, at = [], start
    for match in re.compile(pattern).finditer(text, start, end):
        spans.append((at, match.start()))
        at = match.end()
    return [*spans, (at, end)]


def _outer_removed(content: str, spans: list[Span]) -> list[Span]:
    """Return cells without the empty ones outside of the outer bars.

    A bar behind blanks alone opens a row only if another one closes it.
    """
    closed = content.rstrip().endswith("|") and len(spans) > 2
    opened = content.startswith("|") or (closed and content.lstrip().startswith("|"))
    return spans[1 if opened else 0 : len(spans) - 1 if closed else len(spans)]


def _below(starts: Sequence[int], line: Span, spans: Sequence[Span]) -> list[Span]:
    """Return a cell for every head of a table in blanks: the one that begins nearest below it."""
    cells = [(line[1], line[1])] * len(starts)
    for span in spans:
        offset = span[0] - line[0]
        at = min(max(bisect_left(starts, offset), 1), len(starts) - 1)
        is_left_nearer = offset - starts[at - 1] <= starts[at] - offset
        cells[at - is_left_nearer] = span
    return cells


def _rows_of(text: str, block: Sequence[tuple[Span, list[Span]]], in_blanks: bool) -> Iterator[Row]:
    """Yield the rows of consecutive lines with cells; one line alone is a table only of pairs."""
    if not block:
        return
    heads = [_head_of(text, span) for span in block[0][1]]
    table = _Table.of(heads, max(len(spans) for _, spans in block))
    values = [_answer(text, span) for span in block[-1][1]]
    n_named = len(block[0][1])
    unanswered = not any(_answer(text, span) for span in block[0][1])
    if len(block) == 2 and table is None and len(values) == n_named > 1 and unanswered:
        answers = [value for value in values if value]
        if len(answers) == n_named:
            pairs = zip(block[0][1], answers, strict=True)
            yield Row(*block[0][0], tuple(Cell(*span, value) for span, value in pairs))
            yield Row(*block[1][0], (Cell(block[1][0][0], block[1][0][0]),))
            return
    if table is not None and len(block) > 1:
        yield Row(*block[0][0], (Cell(block[0][0][0], block[0][0][0]),))
        head, places = block[0]
        starts = [start - head[0] for start, _ in places]
        for line, spans in block[1:]:
            if in_blanks and len(spans) < len(places):
                spans = _below(starts, line, spans)
            yield Row(*line, table.cells(text, spans))
        return
    for line, spans in block:
        if all(_PAIR.fullmatch(text[slice(*span)].strip()) for span in spans):
            yield Row(*line, _of_pairs(text, spans))
        elif len(block) > 1:
            yield Row(*line, _with_one_answer(text, spans))


def _of_pairs(text: str, spans: Sequence[Span]) -> tuple[Cell, ...]:
    """Return the cells of "Finding: ataxia | Status: absent", the name with its answer."""
    colons = [text.index(":", *span) for span in spans]
    heads = [_head_of(text, (span[0], at)) for span, at in zip(spans, colons, strict=True)]
    names = [number for number, head in enumerate(heads) if head in _NAME_HEADS]
    status = [number for number, head in enumerate(heads) if head in _STATUS_HEADS]
    if len(names) != 1 or len(status) != 1:
        return tuple(Cell(*span) for span in spans)
    value = _answer(text, (colons[status[0]] + 1, spans[status[0]][1]))
    others = (span for number, span in enumerate(spans) if number not in (names[0], status[0]))
    if value is None:
        return tuple(Cell(*span) for span in spans)
    name = Cell(colons[names[0]] + 1, spans[names[0]][1], value)
    return (name, *(Cell(*span) for span in others))


def _with_one_answer(text: str, spans: Sequence[Span]) -> tuple[Cell, ...]:
    """Return the cells of a row without a head: a name and its answer in either order, remarks."""
    if len(spans) < 2 or any(_BOX.search(text[slice(*span)]) for span in spans):
        return ()
    first, second, *others = (_answer(text, span) for span in spans)
    if (first is None) == (second is None) or {*others} - {None, first, second}:
        return ()
    name = spans[0] if first is None else spans[1]
    value = first or second
    if not value or not text[slice(*name)].strip():
        return ()
    return (Cell(*name, value), *(Cell(*span) for span in spans[2:]))


@dataclass(frozen=True)
class _Table:
    """Columns of a table with a head, by their numbers."""

    status: int | None = None
    inverted: bool = False
    yes: int | None = None
    no: int | None = None
    names_below: bool = False
    """True if findings stand under the heads "present" and "absent"."""
    ignored: frozenset[int] = frozenset()

    @classmethod
    def of(cls, heads: Sequence[str], width: int) -> "_Table | None":
        """Return the table that a row of heads announces, None if it announces none.

        Args:
            heads: of the columns.
            width: most cells of a row. Rows that are wider than the heads name their findings
                behind the columns of ticks.
        """
        named = any(head in _NAME_HEADS for head in heads)
        yes = next((i for i, head in enumerate(heads) if head in _YES_HEADS), None)
        no = next((i for i, head in enumerate(heads) if head in _NO_HEADS), None)
        ignored = frozenset(i for i, head in enumerate(heads) if _is_of_others(head))
        if yes is not None and no is not None:
            if not named and len(heads) == width == 2:
                return cls(yes=yes, no=no, names_below=True)
            return cls(yes=yes, no=no, ignored=ignored)
        status = [i for i, head in enumerate(heads) if i and head in _STATUS_HEADS]
        if status and (named or heads[0] in ("", *_NAME_HEADS) or ignored):
            return cls(status=status[0], ignored=ignored)
        absent = [i for i, head in enumerate(heads) if i and head in _ABSENT_HEADS]
        if absent and named:
            return cls(status=absent[0], inverted=True, ignored=ignored)
        return None

    def cells(self, text: str, spans: Sequence[Span]) -> tuple[Cell, ...]:
        """Return the cells of a row with their answers; none where its answer is no plain one."""
        if self.names_below:
            answers: dict[int | None, Answer] = {self.yes: "yes", self.no: "no"}
            return tuple(Cell(*span, answers[i]) for i, span in enumerate(spans) if i in answers)
        answer = self._answer(text, spans)
        if answer is None:
            return ()
        own = {self.status, self.yes, self.no} | self.ignored
        others = {
            number: span
            for number, span in enumerate(spans)
            if number not in own and _answer(text, span) is None
        }
        # What stands behind the answer is a remark and is read by itself, if a name is before it.
        last = max(i for i in (self.status, self.yes, self.no) if i is not None)
        names = {number for number in others if number < last} or set(list(others)[:1])
        return tuple(Cell(*span, answer if i in names else "") for i, span in others.items())

    def _answer(self, text: str, spans: Sequence[Span]) -> Answer | None:
        if self.status is None:
            ticked = [
                word
                for word, column in (("yes", self.yes), ("no", self.no))
                if column is not None
                and column < len(spans)
                and text[slice(*spans[column])].strip().casefold() in _TICKS
            ]
            return "unknown" if len(ticked) != 1 else ticked[0]  # type: ignore[return-value]
        value = _answer(text, spans[self.status]) if self.status < len(spans) else "unknown"
        if self.inverted and value in ("yes", "no"):
            return "no" if value == "yes" else "yes"
        return value


def _is_of_others(head: str) -> bool:
    return bool(set(head.split()) & (RELATIVES | _OTHER_HEADS)) and head not in _STATUS_HEADS


def _head_of(text: str, span: Span) -> str:
    """Return the text of a head without marks and remarks: "Present? (Y/N)" gives "present"."""
    if _BOX.search(text[slice(*span)]):
        return "a box"
    head = _REMARK.sub("", text[slice(*span)]).strip(" \t*_:?#\"'").casefold()
    head = " ".join(head.split())
    if head in _NAME_HEADS:
        return head
    # "Findings present" is "present".
    return " ".join(word for word in head.split() if word not in _NAME_HEADS) or head


def _answer(text: str, span: Span) -> Answer | None:
    """Return the plain answer that a cell holds, None if it holds anything else."""
    word = " ".join(text[slice(*span)].strip(" \t.!\"'*_[]()").casefold().split())
    word = word or text[slice(*span)].strip().casefold()
    if word in _YES:
        return "yes"
    if word in _NO:
        return "no"
    return "unknown" if word in _UNKNOWN else None
