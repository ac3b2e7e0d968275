"""Reading of a list of names in a language model's answer, whatever form the model gives it."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from mint_ray.knowledge.names import normalise

_THINKING = r"(?:think(?:ing)?|reasoning|thought)"
_THOUGHT_END = re.compile(rf"</{_THINKING}>", re.IGNORECASE)
_THOUGHT_START = re.compile(rf"<{_THINKING}>", re.IGNORECASE)

_NUMBERED = re.compile(r"^[\s>#*_|(\[•-]*(\d{1,3})[*_\s]*[.):|\]][*_]*\s*(?!\d)(.+)$")
_BULLET = re.compile(r"^\s*[-*•–+]\s+(.+)$")
# Runs are taken whole here and below: a model may repeat a quote or a space thousands of times.
_QUOTED = re.compile(r"""['"‘“`]++(.+?)['"’”`]++(?=$|[\s.,;:()\[\]–—-])""")
_QUOTES = re.compile(r"""['"‘’“”`]+""")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_BOLD = re.compile(r"^(\*\*|__)(.+?)\1")
_MARKS = "*_`'\"‘’“” \t"
_OPENING, _CLOSING = " \t([", " \t.,;:()[]–—-"
_LONGEST_PLAIN = 120  # characters of a line that may be a name rather than a sentence


def without_thoughts(text: str) -> str:
    """Return an answer without what a model thinks before it.

    A chat template may begin the thought, so that the answer holds its end only. A thought that
    does not end leaves nothing behind it.
    """
    ends = list(_THOUGHT_END.finditer(text))
    said = text[ends[-1].end() :] if ends else text
    unended = _THOUGHT_START.search(said)
    return (said[: unended.start()] if unended else said).strip()


def parse_list(
    text: str,
    header: str,
    most: int | None = None,
    *,
    headed: Literal["first", "last"] = "last",
    repeats: bool = False,
) -> list[str]:
    """Return the names of the list in an answer, best first, each once.

    The list behind the last header counts, thoughts left out, or that behind the last header with
    a list where the last one has none. Without a header, the first numbered or bulleted list
    counts. The header may be in any case and marked up, and numbers, bullets, quotes and markup are
    removed. A longer list is cut.

    Args:
        text: as the model gave it; may be empty.
        header: such as `POTENTIAL_GENES:`.
        most: names to return, at most; None for all.
        headed: header whose list counts: the `last` of a model that reasons first, or the `first`
            of a student, which begins with its list and may go on to a further one.
        repeats: whether a name that comes again keeps its place.
    """
    said = without_thoughts(text)
    before, *sections = _header_pattern(header).split(said)
    names: list[str] = []
    for section in sections if headed == "first" else reversed(sections):
        names = list(_items(section, has_header=True))
        if names:
            break
    else:
        names = list(_items(before if sections else said, has_header=False))
    if repeats:
        return [name for name in names if normalise(name)][:most]
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(normalise(name), name)
    first.pop("", None)
    return list(first.values())[:most]


def _header_pattern(header: str) -> re.Pattern[str]:
    """Return a pattern of a header at the start of a line, marked up or not."""
    words = re.findall(r"[^\W_]+", header)
    spelt = r"[\s_\\-]+".join(map(re.escape, words))
    return re.compile(
        rf"^(?:[^\w\n]|_)*{spelt}[*_`\"' \t]*(?::[*_`\"']*|$)", re.IGNORECASE | re.MULTILINE
    )


def _items(section: str, has_header: bool) -> Iterator[str]:
    lines = section.splitlines()
    numbered = [(int(m[1]), m[2]) for m in map(_NUMBERED.match, lines) if m]
    if numbered:
        texts = _one_line(*numbered[0]) if len(numbered) == 1 else _one_list(numbered)
    else:
        texts = [match[1] for match in map(_BULLET.match, lines) if match]
        if not texts and has_header:
            texts = _plain(lines)
    return filter(None, map(_clean, texts))


def _one_list(numbered: Sequence[tuple[int, str]]) -> list[str]:
    """Return the first of several lists: a second one starts at 1 again."""
    texts, last = [], 0
    for number, text in numbered:
        if number == 1 and last > 1:
            break
        texts.append(text)
        last = number
    return texts


def _one_line(number: int, text: str) -> list[str]:
    """Return the items of a list that was written in one line, such as "1. A 2. B"."""
    texts = []
    while match := re.search(rf"(?<![\s,;])[\s,;]++\(?{number + 1}[.)]\s+", text):
        texts.append(text[: match.start()])
        number, text = number + 1, text[match.end() :]
    return [*texts, text]


def _plain(lines: Sequence[str]) -> list[str]:
    """Return the names of a list without numbers or bullets: its first paragraph."""
    paragraph: list[str] = []
    for line in map(str.strip, lines):
        if line:
            paragraph.append(line)
        elif paragraph:
            break
    if len(paragraph) != 1:
        return [line for line in paragraph if len(line) <= _LONGEST_PLAIN]
    (line,) = paragraph
    quoted = _QUOTED.findall(line)
    if len(quoted) > 1:
        return [str(name) for name in quoted]
    by_comma = [part.strip() for part in line.split(",")]
    # Names of diseases have commas of their own; symbols of genes have not even spaces.
    if len(by_comma) > 1 and not any(" " in part for part in by_comma):
        return by_comma
    return [part for part in line.split(";") if len(part) <= _LONGEST_PLAIN]


def _clean(text: str) -> str:
    """Return a name without markup, quotes, the columns behind it and full stops."""
    text = _LINK.sub(r"\1", text).split("|")[0].strip()
    bold = _BOLD.match(text)
    text = (bold[2] if bold else text).strip("*_` \t").rstrip(":")
    quoted = _inside_quotes(text)
    if quoted is not None:
        return quoted.replace("**", "").strip("*_ \t").rstrip(".,;")
    return text.replace("**", "").strip(_MARKS).rstrip(".,;").strip(_MARKS)


def _inside_quotes(text: str) -> str | None:
    """Return what the quotes that a text begins with enclose; None if they are not closed.

    Quotes inside a name are kept: one behind a space opens, one before a space closes, and an
    apostrophe does neither.

    >>> _inside_quotes("'Dysplasia, 'corner fracture' type', which fits")
    "Dysplasia, 'corner fracture' type"
    """
    runs = list(_QUOTES.finditer(text))
    if not runs or runs[0].start() > 0:
        return None
    outer = depth = runs[0].end()
    for run in runs[1:]:
        size = run.end() - run.start()
        before, after = text[run.start() - 1], text[run.end() : run.end() + 1]
        opens, closes = before in _OPENING, not after or after in _CLOSING
        if opens and not closes:
            depth += size
        elif closes and not opens:
            if size >= depth:
                return text[outer : run.start() + depth - outer]
            depth -= size
    return None
