"""Documents, chunks, documents of the knowledge base, and a user's own."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.errors import DataError
from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.catalogue import Catalogue, Label, build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.retrieval.documents import Document, chunk, in_order
from mint_ray.retrieval.knowledge_documents import Knowledge, disease_documents, gene_documents
from mint_ray.retrieval.own_documents import read_own_documents

NAN = float("nan")


def row(term: str, frequency: float = NAN, counts: tuple[int, int] = (0, 0), **other: str) -> Row:
    return Row(term, *counts, frequency, False, other.get("sex"), other.get("references", "PMID:1"))


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    """Two invented diseases of one gene."""
    rows = {
        "OMIM:900001": [
            row("HP:0001250", 0.895),  # Seizure
            row("HP:0001263", counts=(1, 2)),  # Global developmental delay
            row("HP:0000252", 0.17, sex="male"),  # Microcephaly
            row("HP:0000365", counts=(0, 5)),  # Hearing impairment
        ],
        "OMIM:900002": [row("HP:0001250", 0.025)],
    }
    diseases = {"OMIM:900001": "Amber-Bole syndrome", "OMIM:900002": "Copper dysplasia"}
    genes = {"OMIM:900001": ("GENA",), "OMIM:900002": ("GENA",)}
    annotations = Annotations(rows, diseases, {"OMIM:900001": ("Amber disease",)}, genes)
    courses = {"OMIM:900001": ("HP:0000007", "HP:0003577", "HP:0003676")}
    return Knowledge(load_ontology(), annotations, courses)


def test_a_document_of_a_disease_says_what_is_known(knowledge: Knowledge) -> None:
    catalogue = build_catalogue(knowledge.annotations, {}, "OMIM", "all")
    amber, copper = disease_documents(catalogue, knowledge)
    assert (amber.id, amber.kind, amber.title) == ("OMIM:900001", "disease", "Amber-Bole syndrome")
    assert amber.text.splitlines() == [
        "Also called: Amber disease.",
        "Inheritance: Autosomal recessive inheritance.",
        "Onset: Congenital onset.",
        "Course: Progressive.",
        "Genes: GENA.",
        "Very frequent findings: Seizure.",
        "Frequent findings: Global developmental delay.",
        "Occasional findings: Microcephaly (males).",
        "Not seen: Hearing impairment.",
    ]
    assert copper.text == "Genes: GENA.\nRare findings: Seizure."


def test_a_document_of_a_gene_pools_its_diseases(knowledge: Knowledge) -> None:
    genes = Catalogue([Label("NCBIGene:1", "GENA", ("NCBIGene:1",), ("GENOLD",), ("GENA",))])
    (document,) = gene_documents(genes, knowledge)
    assert (document.id, document.kind, document.title) == ("NCBIGene:1", "gene", "GENA")
    assert "Diseases: Amber-Bole syndrome; Copper dysplasia." in document.text
    assert "Also called: GENOLD." in document.text
    assert "Autosomal recessive" in document.text
    assert "Frequent findings: Global developmental delay, Seizure." in document.text


def test_nothing_rests_on_excluded_publications() -> None:
    """OMIM:619340 cites one publication for all that is known of it."""
    for excluded, is_known in ((frozenset(), True), (frozenset({"PMID:31675180"}), False)):
        knowledge = Knowledge.load(excluded)
        label = Label("OMIM:619340", "Name", ("OMIM:619340",), (), ())
        (document,) = disease_documents(Catalogue([label]), knowledge)
        assert ("findings" in document.text) is is_known
        assert ("Inheritance" in document.text) is is_known


def test_chunks_overlap_and_lose_no_word() -> None:
    words = [f"w{i}" for i in range(600)]
    parts = list(chunk([Document("X:1", "own", "Title", " ".join(words))]))
    assert [part.part for part in parts] == [0, 1, 2]
    assert {part.title for part in parts} == {"Title"}
    assert parts[1].text.split()[:20] == parts[0].text.split()[-20:]
    assert max(len(part.text.split()) for part in parts) == 256
    assert [*parts[0].text.split(), *parts[1].text.split()[20:], *parts[2].text.split()[20:]] == (
        words
    )


def test_a_document_of_one_chunk_stays_as_it_is() -> None:
    document = Document("X:1", "own", "Title", "Line one.\nLine two.")
    assert list(chunk([document])) == [document]
    with pytest.raises(ValueError, match="overlap"):
        list(chunk([document], 20, 20))


def test_two_documents_of_one_id_are_a_mistake() -> None:
    document = Document("X:1", "own", "Title", "text")
    with pytest.raises(ValueError, match="1 documents have the id of another"):
        in_order([document, document])


def test_an_own_document_may_be_about_a_disease() -> None:
    own = Document("OMIM:1", "own", "Title", "text")
    disease = Document("OMIM:1", "disease", "Name", "text")
    assert in_order([own, disease]) == (disease, own)


def test_odd_text_of_own_documents_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    deep = "[" * 100_000
    path.write_text('{"id": "A:1", "text": "a \\ud800 b"}\n' + deep + "\n", encoding="utf-8")
    own = read_own_documents(path)
    assert own.documents == (Document("A:1", "own", "A:1", "a ? b"),)
    assert own.rejected == {"bad_row": 1}


ROWS = [
    {"id": "B:2", "title": "Second", "text": "about seizures"},
    {"id": "A:1", "title": "", "text": "about hearing"},
    {"id": "", "title": "No id", "text": "lost"},
    {"id": "C:3", "title": "No text", "text": " "},
    {"id": "A:1", "title": "Again", "text": "about hearing again"},
]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_own_documents_are_read_and_bad_rows_counted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"own.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind == "csv":
        lines = ["id,title,text", *(f"{r['id']},{r['title']},{r['text']}" for r in ROWS)]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    else:
        path.write_text("\n".join(json.dumps(r) for r in ROWS) + "\nnot json\n", encoding="utf-8")
    own = read_own_documents(path)
    assert own.documents == (
        Document("B:2", "own", "Second", "about seizures"),
        Document("A:1", "own", "A:1", "about hearing"),
    )
    bad = {"bad_row": 1} if kind == "jsonl" else {}
    assert own.rejected == Counter({"no_id": 1, "no_text": 1, "duplicate_id": 1, **bad})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.csv", "id,title\nA:1,x\n", "found id, title"),
        ("own.csv", "id,title,text\n,x,y\n", "found none"),
        ("own.txt", "x", "columns id, text, found x"),
        ("own.parquet", "x", "found text"),
        ("own.jsonl", "\xff", "cannot be read"),
    ],
)
def test_a_table_without_documents_is_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        read_own_documents(tmp_path / name)


def test_an_absent_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="FileNotFoundError"):
        read_own_documents(tmp_path / "own.jsonl")
