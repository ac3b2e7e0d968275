"""Assertion of findings in invented lines of everyday notes.

The lines were written by people who had not seen the reader.
`everyday_lines.json` marks the findings of each line: `present`, `excluded`, or `not_mentioned` for
what says nothing of the patient (relatives, possibilities, plans, names of clinics). The second
set, ids that begin with 2, was read for the first time when the first was finished. Lines of the
third and the fourth were misread when they were found.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded

LINES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("everyday_lines.json").read_text(encoding="utf-8")
)
KINDS = sorted({line["kind"] for line in LINES})
MISREAD = frozenset(line["id"] for line in LINES if line.get("misread"))
"""Lines with a finding that is read wrongly so far: take the mark away when one is read right."""


def misread(reader: FindingReader, line: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (term, what is right, what was read) of a line's findings that were read wrongly."""
    present, excluded = present_and_excluded(reader.read(line["text"]))
    read = dict.fromkeys(excluded, "excluded") | dict.fromkeys(present, "present")
    return [
        (term, right, read.get(term, "not_mentioned"))
        for right in ("present", "excluded", "not_mentioned")
        for term in line[right]
        if read.get(term, "not_mentioned") != right
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_everyday_lines(reader: FindingReader, kind: str) -> None:
    lines = [line for line in LINES if line["kind"] == kind]
    wrong = {line["id"]: misread(reader, line) for line in lines}
    unexpected = {name: found for name, found in wrong.items() if found and name not in MISREAD}
    assert not unexpected
    assert not {name for name in wrong if not wrong[name]} & MISREAD


def test_precision_and_recall(reader: FindingReader) -> None:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for line in LINES:
        wrong = {term: read for term, _, read in misread(reader, line)}
        for right in ("present", "excluded", "not_mentioned"):
            for term in line[right]:
                counts[right, wrong.get(term, right)] += 1
    for kind in ("present", "excluded"):
        hits = counts[kind, kind]
        assert hits / sum(n for (right, _), n in counts.items() if right == kind) > 0.95
        assert hits / sum(n for (_, read), n in counts.items() if read == kind) > 0.95
