"""Settings of documents and of chat models, and of answers other than diseases."""

import pytest

from mint_ray.config.config import Config
from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError


def test_the_defaults_are_those_of_the_paper() -> None:
    config = Config()
    assert (config.retrieval.documents, config.retrieval.rerank_of) == (1, 3)
    assert config.reasoning.protocol == "rag_cot"


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        ("retrieval", {"meaning": False}, "expected method=bm25 and rerank_of=null"),
        ("retrieval", {"meaning": False, "method": "bm25"}, "found method=bm25 and rerank_of=3"),
        ("retrieval", {"documents": 5}, "expected at least documents=5"),
        ("retrieval", {"chunk_words": 20}, "expected less than chunk_words=20"),
        ("reasoning", {"chat": "server"}, "expected reasoning.server.base_url"),
        ("reasoning", {"protocol": "rag_first"}, "rag_first"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    section: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({section: settings})


def test_search_by_words_needs_no_features() -> None:
    settings = {"meaning": False, "method": "bm25", "rerank_of": None}
    assert parse_config({"retrieval": settings}).retrieval.method == "bm25"


OWN = {"source": "notes", "path": "notes.csv", "answers": "answers.csv"}


def test_other_answers_are_accepted() -> None:
    assert parse_config({"task": "own", "cases": OWN}).cases.answers is not None
    assert parse_config({"task": "gene"}).evaluation.group_limit("gene") == 10


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"task": "gene", "cases": {"source": "parquet", "path": "x"}}, "found parquet"),
        (
            {
                "task": "gene",
                "cases": {"source": "phenopackets", "path": "x", "simulated_per_disease": 2},
            },
            "expected 0 for task=gene",
        ),
        ({"task": "gene", "cases": {"source": "tiles"}}, "does not fit cases.source=tiles"),
        ({"task": "own", "cases": OWN | {"answers": None}}, "expected a table of answers"),
        ({"task": "disease", "cases": OWN}, "and none with another task"),
        ({"task": "own", "cases": OWN | {"source": "phenopackets"}}, "expected cases.source notes"),
    ],
)
def test_cases_without_such_answers_are_refused(tree: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(tree)
