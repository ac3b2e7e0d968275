"""Stage `index`: documents of the answers that may be given, and the index that finds them.

Documents are written from the annotations without the publications that the step `cases` excluded.
Ray Data actors compute the features of their meaning, a batch of documents at a time, so that an
interrupted run continues where it stopped. The index of words takes seconds and is made at the end.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.arrays import Floats32
from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import ConfigError
from mint_ray.knowledge.annotations import read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.retrieval.bm25 import BM25Index
from mint_ray.retrieval.dense import DenseIndex
from mint_ray.retrieval.documents import Document, chunk, in_order
from mint_ray.retrieval.index import DocumentIndex
from mint_ray.retrieval.knowledge_documents import Knowledge, disease_documents, gene_documents
from mint_ray.retrieval.own_documents import read_own_documents
from mint_ray.runtime.inference import CaseInference, infer, reporting
from mint_ray.runtime.session import begin_session

FOLDER = "index"
BATCH = 64
"""Documents whose features are written together."""

_FEATURES = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),  # of a document; see `key_of`
        pa.field("features", pa.list_(pa.list_(pa.float32())), nullable=False),  # of its parts
    ]
)
_TEXTS = pa.schema([("case_id", pa.string()), ("text", pa.string())])


class FeatureMaker:
    """Ray Data actor that holds the sentence encoder."""

    def __init__(self, resources: Mapping[str, Any]) -> None:
        from mint_ray.encoders.sentences import SentenceEncoder
        from mint_ray.runtime.ray_train import use_resources

        use_resources(ResourcesConfig.model_validate(resources))  # before a GPU is looked for
        self._encoder = SentenceEncoder()

    def __call__(self, batch: pa.Table) -> pa.Table:
        parts = [self._encoder.split(text) for text in batch["text"].to_pylist()]
        features = self._encoder.encode([part for of_text in parts for part in of_text])
        ends = np.cumsum([len(of_text) for of_text in parts])
        of_texts = [list(rows) for rows in np.split(features, ends[:-1])]
        return pa.table({"case_id": batch["case_id"], "features": of_texts}, schema=_FEATURES)


def run(context: StepContext) -> StepOutcome:
    """Write the documents and index them."""
    config, cases = context.config, context.inputs["cases"]
    if config.task == "tissue":
        raise ConfigError(
            "task=tissue: expected a task of notes, since documents are written about the labels "
            "of notes"
        )
    started = time.monotonic()
    catalogue = Catalogue.read(cases / "catalogue.parquet")
    excluded = read_publications(cases / "excluded_publications.txt")
    knowledge = Knowledge.load(excluded, catalogue.release, config.knowledge.pooled_lines)
    write = gene_documents if config.task == "gene" else disease_documents
    documents = list(write(catalogue, knowledge))
    rejected: Mapping[str, int] = {}
    if config.retrieval.own_documents is not None:
        own = read_own_documents(config.retrieval.own_documents)
        documents, rejected = [*documents, *own.documents], own.rejected
    if config.retrieval.chunk_words is not None:
        documents = list(
            chunk(documents, config.retrieval.chunk_words, config.retrieval.overlap_words)
        )
    ordered = in_order(documents)
    words = BM25Index.build([document.content for document in ordered])
    context.progress.say(
        f"{len(ordered)} documents of {len(catalogue)} labels, {len(excluded)} publications left "
        f"out, indexed by words in {time.monotonic() - started:.0f} s"
    )
    index = DocumentIndex(ordered, words)
    work = context.output / "features"
    if config.retrieval.meaning:
        from mint_ray.encoders.sentences import SentenceEncoder

        meaning = DenseIndex.of_features(_features(context, ordered, work))
        index = DocumentIndex(ordered, words, meaning, SentenceEncoder())
    index.write(
        context.output / FOLDER,
        {
            "labels": catalogue.revision(),
            "publications_left_out": len(excluded),
            "release": catalogue.release.folder,
        },
    )
    shutil.rmtree(work, ignore_errors=True)
    return StepOutcome(
        rows_in=len(catalogue),
        rows_out=len(ordered),
        rejected=rejected,
        facts={"publications_left_out": len(excluded), "meaning": config.retrieval.meaning},
    )


def key_of(document: Document) -> str:
    """Return the id of a document among all, which sorts as `in_order` does."""
    return f"{document.id}\x1f{document.kind}\x1f{document.part:06d}"


def _features(context: StepContext, documents: Sequence[Document], work: Path) -> list[Floats32]:
    """Return the features of the parts of each document, (n_parts, width), computed on Ray."""
    resources = context.config.resources
    begin_session(resources, context.progress.say)
    work.mkdir(exist_ok=True)
    source = work / "texts.parquet"
    # Texts of one length need no padding: by length, encoding takes half the time.
    by_length = sorted(documents, key=lambda d: (len(d.content), key_of(d)))
    texts = [{"case_id": key_of(d), "text": d.content} for d in by_length]
    pq.write_table(pa.Table.from_pylist(texts, _TEXTS), source, row_group_size=BATCH)
    job = CaseInference(
        FeatureMaker,
        {"resources": resources.model_dump(mode="json")},
        ("case_id", "text"),
        _FEATURES,
        BATCH,
    )
    started = time.monotonic()
    encoded, total = work / "encoded", len(texts)

    def report(done: int) -> None:
        context.progress.update(done, total, f"documents, {time.monotonic() - started:.0f} s")

    with reporting(encoded, report):
        rows = infer(job, source, encoded, resources)
    report(total)
    context.progress.say(f"meaning of {len(texts)} documents in {time.monotonic() - started:.0f} s")
    flat = pc.list_flatten(pc.list_flatten(rows["features"])).to_numpy()
    n_parts = pc.list_value_length(rows["features"]).to_numpy()
    of_documents = np.split(flat.reshape(int(n_parts.sum()), -1), np.cumsum(n_parts)[:-1])
    features = dict(zip(rows["case_id"].to_pylist(), of_documents, strict=True))
    return [features[key_of(document)] for document in documents]
