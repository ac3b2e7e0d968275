"""Accuracy of the teacher `stacked` on terms read in clinical notes, beside the phenopackets' own.

    python benchmarks/note_teacher.py --cases phenopackets.zip --publications publications.txt \
        --notes clinical_notes.parquet --out benchmarks/results/note_teacher.json

Folds are those of `disease_teachers.py`. Each note whose phenopacket is known is judged by the
teacher that was fitted without its group: once from the terms of the phenopacket, and once from the
terms that the package's reader finds in the note. Notes are read as they are: terms only are used,
so that a named disease helps nobody.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from disease_teachers import (
    FOLDS,
    answer_ranks,
    fit_teacher,
    provenance,
    read_cases,
    top_k,
    write_source,
)

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.cases.splits import assign_folds
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology

logger = logging.getLogger("note_teacher")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fit the teacher on every fold and judge the notes of its test groups."""
    ontology = load_ontology()
    reader = FindingReader(ontology)
    table = pq.read_table(options.notes, columns=["clinical_note", "case_id"]).to_pylist()
    notes = {row["case_id"]: row["clinical_note"] for row in table if row["case_id"]}
    cases = read_cases(options.cases)
    named = load_annotations(read_publications(options.publications))
    found: dict[str, list[Any]] = {"packet": [], "note": [], "groups": [], "seen": []}
    for fold in range(FOLDS):
        placed = assign_folds(cases, FOLDS, fold, True, options.seed)
        rows = [c for c in placed if c["split"] == "test" and c["case_id"] in notes]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "cases"
            whole = pa.Table.from_pylist(placed, CASE_SCHEMA)
            write_source(source, whole, options.publications, named)
            teacher, _ = fit_teacher("stacked", source, options.seed)
            catalogue = Catalogue.read(source / "catalogue.parquet")
        read: list[Any] = []
        for row in rows:
            present, excluded = present_and_excluded(reader.read(notes[row["case_id"]]))
            read.append({**row, "terms": present, "excluded_terms": excluded})
        found["packet"] += answer_ranks(teacher, rows, catalogue).tolist()
        found["note"] += answer_ranks(teacher, read, catalogue).tolist()
        found["groups"] += [row["group_id"] for row in rows]
        found["seen"] += [row["seen"] for row in rows]
        logger.info("fold %d: %d notes", fold, len(rows))
    groups, seen = np.array(found["groups"]), np.array(found["seen"], dtype=bool)
    result: dict[str, Any] = {"notes": len(groups), "groups": len(set(groups.tolist()))}
    for stratum, chosen in (("all", np.ones(len(seen), dtype=bool)), ("seen", seen)):
        result[stratum] = {"n": int(chosen.sum())} | {
            source: top_k(np.array(found[source])[chosen], groups[chosen], options.seed)
            for source in ("packet", "note")
        }
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="release ZIP or folder")
    parser.add_argument("--publications", type=Path, required=True, help="one PMID a line")
    parser.add_argument("--notes", type=Path, required=True, help="parquet of the notes")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    result = {
        **provenance(options.seed),
        **measure(options),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
