"""Answers in other forms: CSV for spreadsheets, GA4GH interpretations, a chat reply."""

import csv
import io
import time
from typing import Any

from mint_ray.serving.answers import Answer

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


def as_chat(answer: Answer) -> dict[str, Any]:
    """An OpenAI chat completion whose message lists the ranking."""
    lines = [
        f"{entry.rank}. {entry.name} ({entry.id}), probability {entry.probability:.2f}"
        for entry in answer.ranking
    ]
    if answer.none_of_these.flagged:
        lines.insert(0, "None of the catalogue's entries fits well.")
    return {
        "id": f"chatcmpl-{answer.request_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model.name,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "\n".join(lines)},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
