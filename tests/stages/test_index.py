"""The stage `index` without Ray: what is written, and what is left out."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.common.arrays import Floats32
from mint_ray.config.config import Config
from mint_ray.encoders import sentences
from mint_ray.errors import ConfigError
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.steps import StepContext
from mint_ray.retrieval.index import DocumentIndex
from mint_ray.runtime.inference import CaseInference, infer, reporting
from mint_ray.stages import index

Say = Callable[[str], None]
KNOWN = "OMIM:619340"
"""A disease of which one publication says all that is known."""
CITED = "PMID:31675180"


class Letters:
    """An encoder of the first letters, in place of a model."""

    weights = "letters"

    def split(self, text: str) -> list[str]:
        return [text[:40], text[40:]] if len(text) > 40 else [text]

    def encode(self, texts: list[str]) -> Floats32:
        found = np.array([[1 + text.lower().count(c) for c in "aeiost"] for text in texts])
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actors_here: None
) -> Callable[..., StepContext]:
    """Return a function that makes the context of a step with three diseases."""
    monkeypatch.setattr(sentences, "SentenceEncoder", Letters)
    cases, output = tmp_path / "cases", tmp_path / "output"
    updates: list[tuple[float, float, str]] = []
    cases.mkdir()
    output.mkdir()
    labels = [
        Label(any_id, name, (any_id,), (), ())
        for any_id, name in ((KNOWN, "Known"), ("OMIM:1", "Alpha"), ("OMIM:2", "Beta"))
    ]
    Catalogue(labels).write(cases / "catalogue.parquet")

    def context(left_out: str = "", **sections: object) -> StepContext:
        (cases / "excluded_publications.txt").write_text(left_out)
        config = Config.model_validate(sections)
        handle = SimpleNamespace(say=lambda text: None, update=lambda *shown: updates.append(shown))
        handle.updates = updates
        return StepContext(config, "key", {"cases": cases}, output, None, handle)  # type: ignore[arg-type]

    return context


BY_WORDS = {"meaning": False, "method": "bm25", "rerank_of": None}


def test_every_label_has_a_document_that_is_found(make: Callable[..., StepContext]) -> None:
    context = make()
    outcome = index.run(context)
    assert (outcome.rows_in, outcome.rows_out) == (3, 3)
    found = DocumentIndex.read(context.output / "index", Letters())
    assert [document.id for document in found.documents] == ["OMIM:1", "OMIM:2", KNOWN]
    for method in ("bm25", "dense", "fused"):
        assert found.retrieve("Beta", 1, method)[0].document.id == "OMIM:2"
    # The features are those of the whole index, whatever batches they were computed in.
    whole = DocumentIndex.build(found.documents, Letters())
    np.testing.assert_allclose(found.scores("Beta", "dense"), whole.scores("Beta", "dense"))
    assert not (context.output / "features").exists()


def test_the_encoding_of_documents_is_shown_while_it_lasts(
    make: Callable[..., StepContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make()
    updates: list[tuple[float, float, str]] = context.progress.updates  # type: ignore[attr-defined]

    def slowly(job: CaseInference, source: Path, output: Path, resources: Any) -> pa.Table:
        rows = infer(job, source, output, resources)
        next(output.glob("*.parquet")).unlink()
        (output / "torn.parquet").write_bytes(b"PAR1")
        pq.write_table(rows.slice(0, 2), output / "first.parquet")
        deadline = time.monotonic() + 20
        while not any(done == 2 for done, *_ in updates):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return rows

    def often(folder: Path, report: Callable[[int], None]) -> AbstractContextManager[None]:
        return reporting(folder, report, seconds=0.01)

    monkeypatch.setattr(index, "infer", slowly)
    monkeypatch.setattr(index, "reporting", often)
    index.run(context)
    assert {total for _, total, _ in updates} == {3}
    assert updates[-1][0] == 3
    assert "documents" in updates[-1][2]


@pytest.mark.parametrize(("left_out", "is_known"), [("", True), (CITED, False)])
def test_what_rests_on_excluded_publications_is_left_out(
    make: Callable[..., StepContext], left_out: str, is_known: bool
) -> None:
    context = make(left_out, retrieval=BY_WORDS)
    outcome = index.run(context)
    documents = DocumentIndex.read(context.output / "index").documents
    assert ("findings" in documents[-1].text) is is_known
    assert outcome.facts["publications_left_out"] == bool(left_out)


def test_own_documents_join_and_all_are_cut_into_parts(
    make: Callable[..., StepContext], tmp_path: Path
) -> None:
    (tmp_path / "own.csv").write_text(
        "id,title,text\nOMIM:1,More of Alpha," + "word " * 50 + "\nX:1,,\n"
    )
    own = {"own_documents": str(tmp_path / "own.csv"), "chunk_words": 30, "overlap_words": 5}
    context = make(retrieval=BY_WORDS | own)
    outcome = index.run(context)
    assert dict(outcome.rejected) == {"no_text": 1}
    documents = DocumentIndex.read(context.output / "index").documents
    parts = [(d.id, d.kind, d.part) for d in documents if d.kind == "own"]
    assert parts == [("OMIM:1", "own", 0), ("OMIM:1", "own", 1)]


def test_images_have_no_documents(make: Callable[..., StepContext]) -> None:
    context = make(task="tissue", cases={"source": "tiles"}, teacher={"name": "clip"})
    with pytest.raises(ConfigError, match="expected a task of notes"):
        index.run(context)
