"""Search by words and by meaning, fusion, and the folder of an index."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mint_ray.errors import DataError
from mint_ray.retrieval.bm25 import BM25Index, tokenise
from mint_ray.retrieval.documents import Document, chunk
from mint_ray.retrieval.fuse import best_first, reciprocal_rank_fusion
from mint_ray.retrieval.index import DocumentIndex
from tests.retrieval.conftest import CountingEncoder


def test_words_are_compared_without_case_accents_and_plurals() -> None:
    assert tokenise("The Seizures of Ménière’s disease") == ["seizure", "meniere", "disease"]
    assert tokenise("deficiencies, ptosis and a virus") == ["deficiency", "ptosis", "virus"]


def test_bm25_is_the_published_formula() -> None:
    texts = ["seizure delay", "hearing loss", "hearing hearing delay loss"]
    scores = BM25Index.build(texts).scores("hearing")
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    lengths = np.array([2, 2, 4]) / (8 / 3)
    counts = np.array([0, 1, 2])
    expected = idf * counts / (counts + 1.5 * (0.25 + 0.75 * lengths))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("query", ["", "unknown words", "the of and"])
def test_a_query_without_known_words_scores_nothing(query: str) -> None:
    assert BM25Index.build(["seizure delay", "hearing loss"]).scores(query).tolist() == [0, 0]


def test_fusion_adds_reciprocal_ranks_of_what_was_found() -> None:
    first, second = np.array([3.0, 2.0, 1.0, 0.0]), np.array([0.1, 0.3, 0.2, 0.0])
    fused = reciprocal_rank_fusion([first, second])
    np.testing.assert_allclose(fused, [1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62, 0])
    shallow = reciprocal_rank_fusion([first, second], depth=1)
    np.testing.assert_allclose(shallow, [1 / 61, 1 / 61, 0, 0])


def test_ties_go_by_id(documents: list[Document], encoder: CountingEncoder) -> None:
    for given in (documents, documents[::-1]):
        index = DocumentIndex.build(given, encoder)
        for method in ("bm25", "dense", "fused"):
            hits = index.retrieve("skin", 2, method)
            assert [hit.document.id for hit in hits] == ["OMIM:3", "OMIM:4"]
    assert best_first(np.array([1.0, 2.0, 2.0, 1.0])).tolist() == [1, 2, 0, 3]


def test_a_ranking_of_ids_takes_the_best_part(encoder: CountingEncoder) -> None:
    whole = [
        Document("OMIM:1", "disease", "A", "skin " + "word " * 40 + "heart"),
        Document("OMIM:2", "disease", "B", "skin " * 10),
        Document("X:1", "own", "C", "heart heart"),
    ]
    index = DocumentIndex.build(chunk(whole, 10, 2), encoder)
    assert len(index.documents) > len(whole)
    ranked = index.rank("heart", method="dense")
    assert [entry.id for entry in ranked] == ["OMIM:1", "X:1", "OMIM:2"]
    assert ranked[0].score == pytest.approx(1.0)
    assert [entry.id for entry in index.rank("heart", 1, "dense", "own")] == ["X:1"]


def test_the_end_of_a_long_query_counts(
    documents: list[Document], encoder: CountingEncoder
) -> None:
    """The released code cut the query of its reranker at about 380 words without a word."""
    index = DocumentIndex.build(documents, encoder)
    query = "word " * 900 + "heart"
    assert index.retrieve(query, 1, "bm25")[0].document.id == "NCBIGene:9"
    assert index.retrieve(query, 1, "dense")[0].document.id == "NCBIGene:9"
    reranked = index.retrieve(query + " seizure", 1, "bm25", rerank_of=4)
    assert reranked[0].score == index.scores(query + " seizure", "dense").max()


def test_the_end_of_a_long_document_counts(encoder: CountingEncoder) -> None:
    long = Document("OMIM:2", "disease", "B", "word " * 900 + "heart")
    short = Document("OMIM:1", "disease", "A", "hearing")
    index = DocumentIndex.build([long, short], encoder)
    assert index.retrieve("heart", 1, "dense")[0].document == long


def test_reranking_keeps_the_first_search_and_orders_it_by_meaning(
    encoder: CountingEncoder,
) -> None:
    documents = [
        Document("OMIM:1", "disease", "A", "skin seizure"),
        Document("OMIM:2", "disease", "B", "skin skin hearing hearing rash"),
        Document("OMIM:3", "disease", "C", "heart heart"),
    ]
    index = DocumentIndex.build(documents, encoder)
    query = "skin hearing rash"
    first = [hit.document.id for hit in index.retrieve("skin seizure hearing", 3, "bm25")]
    assert first[0] == "OMIM:1"
    assert [h.document.id for h in index.retrieve(query, 1, "bm25", rerank_of=3)] == ["OMIM:2"]
    assert len(index.retrieve(query, 5, "bm25", rerank_of=2)) == 2


def test_an_index_is_read_as_it_was_written(
    tmp_path: Path, documents: list[Document], encoder: CountingEncoder
) -> None:
    index = DocumentIndex.build(documents, encoder)
    index.write(tmp_path / "index", {"left_out": "PMID:1"})
    again = DocumentIndex.read(tmp_path / "index", CountingEncoder())
    assert again.documents == index.documents
    for method in ("bm25", "dense", "fused"):
        assert again.rank("skin seizure", method=method) == index.rank(
            "skin seizure", method=method
        )
    words_only = DocumentIndex.read(tmp_path / "index")
    assert words_only.rank("skin", method="bm25") == index.rank("skin", method="bm25")
    with pytest.raises(ValueError, match="without"):
        words_only.rank("skin", method="dense")


def test_an_index_without_features_replaces_one_with_them(
    tmp_path: Path, documents: list[Document], encoder: CountingEncoder
) -> None:
    DocumentIndex.build(documents, encoder).write(tmp_path)
    DocumentIndex.build(documents[:2]).write(tmp_path)
    assert len(DocumentIndex.read(tmp_path).documents) == 2
    with pytest.raises(DataError, match="found none; build the index again"):
        DocumentIndex.read(tmp_path, encoder)


def test_an_index_of_another_encoder_is_refused(
    tmp_path: Path, documents: list[Document], encoder: CountingEncoder
) -> None:
    DocumentIndex.build(documents, encoder).write(tmp_path)
    with pytest.raises(DataError, match="found those of counting"):
        DocumentIndex.read(tmp_path, CountingEncoder("other"))


def test_nothing_in_the_folder_is_pickled_and_changes_are_noticed(
    tmp_path: Path, documents: list[Document], encoder: CountingEncoder
) -> None:
    """The released code unpickled its index."""
    DocumentIndex.build(documents, encoder).write(tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".npy", ".parquet"}
    for file in files:
        if file.suffix == ".npy":
            assert not np.load(file, allow_pickle=False).dtype.hasobject
        content = file.read_bytes()
        file.write_bytes(content[:-2])
        with pytest.raises(DataError, match="build the index again"):
            DocumentIndex.read(tmp_path, encoder)
        file.write_bytes(content)
    DocumentIndex.read(tmp_path, encoder)


def test_a_folder_of_another_version_is_refused(tmp_path: Path, documents: list[Document]) -> None:
    DocumentIndex.build(documents).write(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"version": 0}))
    with pytest.raises(DataError, match="found 0"):
        DocumentIndex.read(tmp_path)
    with pytest.raises(DataError, match="no"):
        DocumentIndex.read(tmp_path / "absent")


def test_the_files_are_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from mint_ray.retrieval.index import DocumentIndex as D;"
        "from mint_ray.retrieval.documents import Document as T;"
        "D.build([T(f'X:{i}', 'own', 't', f'alpha beta{i} gamma{i}') for i in range(9)])"
        ".write(__import__('pathlib').Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        command = [sys.executable, "-c", code, str(tmp_path / seed)]
        subprocess.run(command, check=True, env=environment, timeout=60)
    manifests = [(tmp_path / seed / "manifest.json").read_text() for seed in ("1", "2")]
    assert manifests[0] == manifests[1]
