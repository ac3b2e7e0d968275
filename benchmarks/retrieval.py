"""Recall of the right disease's and the right gene's document for clinical notes, by retriever.

    python benchmarks/retrieval.py --notes clinical_notes.parquet --publications publications.txt \
        --out benchmarks/results/retrieval.json

Notes are masked as cases are: names, synonyms and ids of the known disease, and its genes. Every
note is in the denominator; one whose disease or gene has no document counts as missed. Documents
are written twice: from all annotations, and without those that rest on the publications of the
file or of the notes alone. `reranked` orders the ten documents that BM25 finds first by meaning.
"""

import argparse
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from disease_teachers import micro_and_macro, provenance, top_k

from mint_ray.cases.patients.answer_leak import names_of_answer
from mint_ray.cases.patients.clinical_notes.columns import choose_columns, text_of
from mint_ray.cases.patients.clinical_notes.files import read_note_table
from mint_ray.cases.patients.clinical_notes.masking import mask_answer
from mint_ray.cases.patients.clinical_notes.read import read_notes
from mint_ray.cases.schema import Case, ParsedCase
from mint_ray.cases.splits import join_groups
from mint_ray.common.arrays import Floats32
from mint_ray.config.cases import NoteColumnsConfig
from mint_ray.encoders.sentences import SentenceEncoder
from mint_ray.knowledge.annotations import Annotations, load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.notes.findings import load_reader
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.retrieval.documents import Document
from mint_ray.retrieval.fuse import best_first, reciprocal_rank_fusion
from mint_ray.retrieval.genes import GeneLookup, gene_catalogue
from mint_ray.retrieval.index import DocumentIndex
from mint_ray.retrieval.knowledge_documents import Knowledge, disease_documents, gene_documents

logger = logging.getLogger("retrieval")

NAMESPACE = "OMIM"
RERANKED = 10
TIMED = 20
"""Queries that are timed."""


class MemoEncoder:
    """The embedded encoder, which encodes no text twice: most documents do not change.

    Attributes:
        encoder: the encoder itself.
        remembers: whether texts that were encoded before are not encoded again.
    """

    def __init__(self) -> None:
        self.encoder, self.remembers = SentenceEncoder(), True
        self._known: dict[str, Floats32] = {}
        self._parts: dict[str, list[str]] = {}

    @property
    def weights(self) -> str:
        """Hash of the weights."""
        return self.encoder.weights

    def split(self, text: str) -> list[str]:
        """Return the parts of a text that are read whole."""
        if text not in self._parts:
            self._parts[text] = self.encoder.split(text)
        return self._parts[text]

    def encode(self, texts: Sequence[str]) -> Floats32:
        """Return (n, width) features."""
        if not self.remembers:
            return self.encoder.encode(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= dict(zip(new, self.encoder.encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def read_masked(path: Path, annotations: Annotations, catalogue: Catalogue) -> list[Case]:
    """Read the notes with their answers masked, in groups that share a publication."""
    finds = load_reader(load_ontology()).names_finding
    parsed = [
        row
        for row in read_notes(path, NoteColumnsConfig(), annotations, NAMESPACE)
        if isinstance(row, ParsedCase)
    ]
    cases: list[Any] = []
    for row in parsed:
        forbidden = (*row.forbidden, *names_of_answer(row.case, row.forbidden, catalogue))
        cases.append({**row.case, "note": mask_answer(row.case["note"], forbidden, finds).text})
    return join_groups(cases)


def genes_of(path: Path) -> dict[str, str]:
    """Return the gene of each note by the note's id; empty where the table names none."""
    table = read_note_table(path)
    chosen = choose_columns(table.columns, NoteColumnsConfig(), path)
    if not {"id", "gene"} <= chosen.keys():
        return {}
    rows = [row for row in table.rows if row is not None]
    return {text_of(row[chosen["id"]]): text_of(row[chosen["gene"]]) for row in rows}


def ranks_of(
    index: DocumentIndex, notes: Sequence[str], answers: Sequence[str | None]
) -> dict[str, np.ndarray]:
    """Return (n,) ranks of the answers' documents from 1 by retriever, infinite if missed."""
    position = {document.id: i for i, document in enumerate(index.documents)}
    ranks: dict[str, list[float]] = {}
    for number, (note, answer) in enumerate(zip(notes, answers, strict=True)):
        scores: dict[str, Any] = {name: index.scores(note, name) for name in ("bm25", "dense")}
        scores["fused"] = reciprocal_rank_fusion([scores["bm25"], scores["dense"]])
        orders = {name: best_first(values) for name, values in scores.items()}
        first = orders["bm25"][:RERANKED]
        again = first[best_first(scores["dense"][first])]
        orders["reranked"] = np.concatenate([again, orders["bm25"][RERANKED:]])
        right = position.get(answer or "")
        for name, order in orders.items():
            found = np.inf if right is None else 1.0 + int(np.flatnonzero(order == right)[0])
            ranks.setdefault(name, []).append(found)
        if number % 100 == 99:
            logger.info("%d of %d notes", number + 1, len(notes))
    return {name: np.array(values) for name, values in ranks.items()}


def timed(index: DocumentIndex, encoder: MemoEncoder, notes: Sequence[str]) -> dict[str, float]:
    """Return the seconds per query of each method, over a few notes."""
    seconds: dict[str, float] = {}
    encoder.remembers = False
    for method in ("bm25", "dense", "fused"):
        start = time.perf_counter()
        for note in notes[:TIMED]:
            index.rank(note, 10, method)
        seconds[method] = (time.perf_counter() - start) / len(notes[:TIMED])
    encoder.remembers = True
    return seconds


def differences(
    ranks: Mapping[str, np.ndarray], groups: np.ndarray, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the paired gain in recall of each retriever over BM25."""

    def gain(name: str, k: int) -> dict[str, Any]:
        hits = (ranks[name] <= k) * 1.0 - (ranks["bm25"] <= k)
        return micro_and_macro(hits, groups, options.seed)

    others = [name for name in ranks if name != "bm25"]
    return {name: {f"top{k}": gain(name, k) for k in (1, 3, 10)} for name in others}


def build(
    documents: Sequence[Document], encoder: MemoEncoder
) -> tuple[DocumentIndex, dict[str, Any]]:
    """Index documents, and return what it took."""
    start = time.perf_counter()
    DocumentIndex.build(documents)
    by_words = time.perf_counter() - start
    told = [time.monotonic()]

    def report(done: int, total: int) -> None:
        if time.monotonic() - told[0] > 20:
            told[0] = time.monotonic()
            logger.info("%d of %d parts encoded", done, total)

    index = DocumentIndex.build(documents, encoder, report)
    whole = time.perf_counter() - start - by_words
    words = [len(document.content.split()) for document in documents]
    return index, {
        "documents": len(documents),
        "words_per_document": float(np.mean(words)),
        "seconds_bm25": by_words,
        "seconds_with_features": whole,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Rank the documents of diseases and genes for every note, under both sets of annotations."""
    annotations = load_annotations()
    diseases = build_catalogue(annotations, {}, NAMESPACE, "all")
    genes = gene_catalogue()
    lookup, stated = GeneLookup(genes), genes_of(options.notes)
    cases = read_masked(options.notes, annotations, diseases)
    own = {publication for case in cases for publication in case["publications"]}
    excluded = read_publications(options.publications) | own
    groups = np.array([case["group_id"] for case in cases])
    answers: Mapping[str, list[str | None]] = {
        "disease": [case["label_id"] for case in cases],
        "gene": [lookup.find(stated.get(case["case_id"].split("#")[0], "")) for case in cases],
    }
    encoder, notes = MemoEncoder(), [case["note"] for case in cases]
    result: dict[str, Any] = {
        "notes": len(cases),
        "groups": len(set(groups.tolist())),
        "encoder": encoder.encoder.versions,
        "publications_excluded": len(excluded),
        "without_document": dict(
            Counter(
                kind
                for kind, catalogue in (("disease", diseases), ("gene", genes))
                for answer in answers[kind]
                if catalogue.index_of(answer or "") is None
            )
        ),
        "tasks": {"disease": {}, "gene": {}},
    }
    for condition, left_out in (("all", frozenset()), ("excluded", frozenset(excluded))):
        start = time.perf_counter()
        knowledge = Knowledge.load(left_out)
        written = {
            "disease": list(disease_documents(diseases, knowledge)),
            "gene": list(gene_documents(genes, knowledge)),
        }
        seconds = time.perf_counter() - start
        for kind, documents in written.items():
            index, facts = build(documents, encoder)
            ranks = ranks_of(index, notes, answers[kind])
            result["tasks"][kind][condition] = facts | {
                "seconds_to_write_both": seconds,
                "recall": {n: top_k(r, groups, options.seed) for n, r in ranks.items()},
            }
            result["tasks"][kind][condition] |= {"differences": differences(ranks, groups, options)}
            if condition == "all":
                seconds_per_query = timed(index, encoder, notes)
                result["tasks"][kind][condition] |= {"seconds_per_query": seconds_per_query}
            logger.info("%s, %s publications: done", kind, condition)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--notes", type=Path, required=True, help="table of notes")
    parser.add_argument("--publications", type=Path, required=True, help="one PMID a line")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    result = {**provenance(options.seed), **measure(options)}
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
