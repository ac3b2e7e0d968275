"""Answers in other forms: CSV for spreadsheets, GA4GH interpretations."""

import csv
import io
import time
from typing import Any

from mint_ray.serving.api.answers import Answer

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
COLUMNS = ("rank", "id", "name", "probability", "in_set")


def as_csv(answer: Answer) -> str:
    """One line per entry; what a spreadsheet would take for a formula starts with a quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "model", "request_id"])
    model = f"{answer.model.name}/{answer.model.version}"
    for entry in answer.ranking:
        row = [getattr(entry, name) for name in COLUMNS]
        writer.writerow([_safe(cell) for cell in (*row, model, answer.request_id)])
    return out.getvalue()


def _safe(cell: object) -> object:
    text = cell if isinstance(cell, str) else ""
    return f"'{text}" if text.startswith(_FORMULA) else cell


def as_interpretations(answer: Answer) -> dict[str, Any]:
    """The ranking as a phenopacket (version 2) holds it: a diagnosis per interpretation, best
    first; the probability stands in the summary, for which the schema has no field."""
    return {
        "id": answer.request_id,
        "interpretations": [
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
