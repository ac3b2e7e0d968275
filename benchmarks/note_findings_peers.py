"""Findings that FastHPOCR and fenominal read; run by `note_findings.py` in their environment.

    python benchmarks/note_findings_peers.py hp.obo WORK REPEATS

It reads `WORK/notes.json` and writes `WORK/read.json`: by reader, the terms read as present and as
denied of each note, the version, and the seconds per note of the fastest pass. The index of
FastHPOCR and the JSON of the ontology that fenominal reads (fastobo makes it of the OBO file) stay
in WORK.
"""

import importlib.metadata
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

Read = tuple[list[str], list[str]]


def fast_hpo_cr(obo: Path, work: Path) -> Callable[[str], Read]:
    """Return FastHPOCR as a reader; it makes its index first if WORK has none."""
    from FastHPOCR.cr.CRIndexKB import CRIndexKB
    from FastHPOCR.HPOAnnotator import HPOAnnotator
    from FastHPOCR.IndexHPO import IndexHPO

    index = work / "hp.index"
    inverse: dict[str, list[str]] = {}

    def tokens_of(self: Any, cluster: str, base: dict[str, str]) -> list[str]:
        # The library walks over all of 573,507 tokens for each cluster, which takes half an hour.
        if not inverse:
            lists = defaultdict(list)
            for token, own in base.items():
                lists[own].append(token)
            inverse.update(lists)
        return list(inverse.get(cluster, ()))

    if not index.exists():
        CRIndexKB.compileClusterList = tokens_of
        IndexHPO(str(obo), str(work), indexConfig={"allow3LetterAcronyms": False}).index()
    annotator = HPOAnnotator(str(index))

    def read(note: str) -> Read:
        return [item.getHPOUri() for item in annotator.annotate(note, longestMatch=True)], []

    return read


def fenominal(obo: Path, work: Path) -> Callable[[str], Read]:
    """Return fenominal as a reader; it makes the ontology's JSON first if WORK has none."""
    import fastobo
    from fenominal import Fenominal

    graph = work / "hp.json"
    if not graph.exists():
        fastobo.dump_graph(fastobo.load(str(obo)), str(graph))
    reader = Fenominal(str(graph))

    def read(note: str) -> Read:
        found = json.loads(reader.map_text(note))
        present = [item["termId"] for item in found if not item["excluded"]]
        return present, [item["termId"] for item in found if item["excluded"]]

    return read


def main() -> None:
    """Read all notes with both readers."""
    obo, work, repeats = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    notes = json.loads((work / "notes.json").read_text(encoding="utf-8"))
    result = {}
    for name, build in (("FastHPOCR", fast_hpo_cr), ("fenominal", fenominal)):
        build(obo, work)  # makes files that it needs, once
        start = time.perf_counter()
        reader = build(obo, work)
        loaded, passes = time.perf_counter() - start, []
        for _ in range(repeats):
            start = time.perf_counter()
            read = [reader(note) for note in notes]
            passes.append((time.perf_counter() - start) / len(notes))
        result[name] = {
            "read": read,
            "seconds_per_note": min(passes),
            "seconds_to_load": loaded,
            "version": importlib.metadata.version(name),
        }
    (work / "read.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
