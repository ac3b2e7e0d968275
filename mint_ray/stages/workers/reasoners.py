"""Ray Data actor that asks a chat model about batches of cases."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from mint_ray.common.seeds import stable_seed
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.reasoning.answering import ANSWER_SCHEMA, RETRIEVER, CaseAnswerer, answer_row
from mint_ray.reasoning.grounding import names_for
from mint_ray.reasoning.wording import WORDINGS
from mint_ray.retrieval.index import DocumentIndex

LOCAL_BATCH = 8
"""Cases that a local model replies to at a time."""


def batch_size(config: Config) -> int:
    """Return the number of cases of a batch: enough for all requests to a server at a time."""
    settings = config.reasoning
    if settings.chat == "server":
        return 4 * settings.server.concurrency
    return 1 if settings.sample else LOCAL_BATCH  # what is drawn would depend on the batch


class Reasoner:
    """Holder of a chat model and of documents; one row of `ANSWER_SCHEMA` for each case.

    Args:
        config: of the run, as plain values.
        catalogue: file of the labels that may be answered.
        index: folder of the documents.
        replies: file of a server's replies, which a repeated run continues. One actor may use it.
    """

    def __init__(self, config: Mapping[str, Any], catalogue: str, index: str, replies: str) -> None:
        from mint_ray.runtime.ray_train import use_resources

        self._config = Config.model_validate(config)
        use_resources(self._config.resources)  # before a GPU is looked for
        labels = Catalogue.read(Path(catalogue))
        self._names = names_for(self._config.task, labels)
        self._open = ExitStack()
        self._begin, chat = self._chat(Path(replies))
        self._answerer = CaseAnswerer(
            self._config.reasoning,
            self._config.retrieval,
            WORDINGS[self._config.task],
            labels,
            load_ontology(labels.release),
            self._documents(Path(index)),
            chat,
            self._config.seed,
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        settings, cases = self._config.reasoning, batch.to_pylist()
        if settings.chat == "server":
            with ThreadPoolExecutor(settings.server.concurrency) as pool:
                parts = list(pool.map(lambda case: self._answerer.answer([case]), cases))
            records = [record for part in parts for record in part]
        else:
            self._begin(cases[0]["case_id"])
            records = self._answerer.answer(cases)
        rows = [answer_row(record, self._names) for record in records]
        return pa.Table.from_pylist(rows, ANSWER_SCHEMA)

    def _documents(self, folder: Path) -> DocumentIndex:
        if not self._config.retrieval.meaning:
            return DocumentIndex.read(folder)
        from mint_ray.encoders.sentences import SentenceEncoder

        return DocumentIndex.read(folder, SentenceEncoder())

    def _chat(self, replies: Path) -> Any:
        """Return a function that begins cases, and the chat model; None for the retriever."""
        settings, seed = self._config.reasoning, self._config.seed
        if settings.protocol == RETRIEVER:
            return _nothing, None
        if settings.chat == "server":
            from mint_ray.reasoning.endpoint_chat import open_endpoint_chat

            return _nothing, self._open.enter_context(open_endpoint_chat(settings.server, replies))
        from mint_ray.reasoning.local_chat import load_local_chat
        from mint_ray.students.ranking.generation import Sampling

        chat = load_local_chat(settings.model, sampling=Sampling() if settings.sample else None)
        return lambda case_id: chat.begin(stable_seed(seed, "chat", case_id)), chat


def _nothing(case_id: str) -> None:
    """Begin cases for which nothing has to be forgotten."""
