"""Tables of readers of findings in notes, and of the search for documents with notes."""

from collections.abc import Mapping
from typing import Any

from tables.records import machine
from tables.teachers import top_k_cells

TITLES = {
    ("present", "exact"): "present, exact",
    ("present", "ancestors"): "present, by ancestors",
    ("named", "exact"): "present or denied, exact",
    ("named", "ancestors"): "present or denied, by ancestors",
}
NAMES = {"mint_ray": "own reader"}


def note_findings_section(result: dict[str, Any]) -> str:
    """Write what readers found in notes, and how the own one judged marked lines."""
    known, lines = result["known"], result["lines"]
    rows = [
        f"{result['notes']} notes of {result['words_per_note']:.0f} words; their phenopackets have "
        f"{known['present']:.1f} present and {known['excluded']:.1f} excluded terms each. HPO of "
        f"{result['ontology']}.",
        "",
        "| reader | terms | precision % | recall % | F1 % |",
        "|---|---|---:|---:|---:|",
    ]
    for name, reader in result["readers"].items():
        for (stated, how), title in TITLES.items():
            cells = [f"{100 * reader[stated][how][n]:.1f}" for n in ("precision", "recall", "f1")]
            rows.append(f"| {_title(name, reader)} | {title} | {' | '.join(cells)} |")
    rows += ["", "| reader | ms per note | seconds to load |", "|---|---:|---:|"]
    rows += [
        f"| {_title(name, reader)} | {1000 * reader['seconds_per_note']:.1f} "
        f"| {reader['seconds_to_load']:.1f} |"
        for name, reader in result["readers"].items()
    ]
    rows += [
        "",
        f"Presence and denial in {lines['lines']} invented lines, {lines['findings']} marked "
        "findings:",
        "",
        "| own reader | findings | precision % | recall % |",
        "|---|---:|---:|---:|",
    ]
    for kind, title in (("present", "present"), ("excluded", "denied")):
        cells = [f"{100 * lines[kind][name]:.1f}" for name in ("precision", "recall")]
        rows.append(f"| {title} | {lines[kind]['n']} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _title(name: str, reader: Mapping[str, Any]) -> str:
    version = f" {reader['version']}" if reader["version"] else ""
    return NAMES.get(name, name) + version


RETRIEVERS = {
    "bm25": "BM25",
    "dense": "dense",
    "fused": "both, fused",
    "reranked": "first ten of BM25, ordered by dense",
}
CONDITIONS = {"all": "all", "excluded": "without own publications"}


def retrieval_section(result: dict[str, Any]) -> str:
    """Write the recall of the right document by retriever, and what a search takes."""
    rows = [
        f"{machine(result)}; {result['notes']} notes of {result['groups']} groups; "
        f"{result['without_document'].get('disease', 0)} notes have a disease and "
        f"{result['without_document'].get('gene', 0)} a gene without a document, which is missed.",
        "",
        "| documents of | annotations | retriever | recall at 1, % macro | at 3 | at 10 | micro |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for task, conditions in result["tasks"].items():
        for condition, measured in conditions.items():
            for name, row in measured["recall"].items():
                title = f"{task}s ({measured['documents']:,})"
                cells = f"{title} | {CONDITIONS[condition]} | {RETRIEVERS[name]}"
                rows.append(f"| {cells} | {top_k_cells(row)} |")
    rows += ["", "| documents of | seconds to index words | ms per query: BM25 | dense | both |"]
    rows += ["|---|---:|---:|---:|---:|"]
    for task, conditions in result["tasks"].items():
        measured = conditions["all"]
        times = [
            f"{1000 * measured['seconds_per_query'][m]:.0f}" for m in ("bm25", "dense", "fused")
        ]
        rows.append(f"| {task}s | {measured['seconds_bm25']:.1f} | {' | '.join(times)} |")
    return "\n".join(rows)
