"""Alternative formats of an answer: CSV for spreadsheets, GA4GH phenopacket interpretations."""

import csv
import io
import time
from typing import Any

from mint_ray.serving.api.answers import Answer

# A spreadsheet evaluates a cell that begins so; ids and names come from outside.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
COLUMNS = ("rank", "id", "name", "probability", "in_set")
DOUBTS = ("none_of_these", "none_of_these_reason")


def as_csv(answer: Answer) -> str:
    """Return CSV, one line per entry; a cell that looks like a formula is quoted with `'`.

    Every line says whether the catalogue may lack the right answer. A ranking without entries has
    one line, which says that alone.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "model", "request_id", *DOUBTS])
    model = f"{answer.model.name}/{answer.model.version}"
    doubt = answer.none_of_these
    rows = [[getattr(entry, name) for name in COLUMNS] for entry in answer.ranking]
    for row in rows or [[None] * len(COLUMNS)]:
        cells = (*row, model, answer.request_id, doubt.flagged, doubt.reason)
        writer.writerow([_safe(cell) for cell in cells])
    return out.getvalue()


def _safe(cell: object) -> object:
    text = cell if isinstance(cell, str) else ""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else cell


def as_interpretations(answer: Answer) -> dict[str, Any]:
    """Return the ranking in the form of a phenopacket (version 2).

    Each interpretation has one diagnosis, best first. The schema has no field for the probability,
    so it stands in the summary. Where the catalogue may lack the right answer, an interpretation
    without a diagnosis comes first, and its summary says why.
    """
    doubt = answer.none_of_these
    unsolved = {
        "id": f"{answer.request_id}-none",
        "progressStatus": "UNSOLVED",
        "summary": f"none of the catalogue's entries: {doubt.reason}",
    }
    return {
        "id": answer.request_id,
        "interpretations": [unsolved] * doubt.flagged
        + [
            {
                "id": f"{answer.request_id}-{entry.rank}",
                "progressStatus": "IN_PROGRESS",
                "diagnosis": {"disease": {"id": entry.id, "label": entry.name}},
                "summary": f"rank {entry.rank}, probability {entry.probability:.4f}",
            }
            for entry in answer.ranking
        ],
        "metaData": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "createdBy": f"{answer.model.name}/{answer.model.version}",
            "phenopacketSchemaVersion": "2.0",
        },
    }
