"""An image student's ranker, with a small randomly initialised model that sees."""

from typing import Any

import pyarrow as pa
import pytest

from mint_ray.config.config import Config
from mint_ray.evaluation.perturbed_cases import key_of
from mint_ray.evaluation.systems import Perturbation
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.stages.workers.rankers import RANKED_SCHEMA, StudentRanker, student_columns
from mint_ray.stages.workers.scoring import NamedCaseScorer
from mint_ray.tasks.task import TISSUE
from tests.students.tiny_vision import save_llava
from tests.students.vision_cases import TISSUES, picture

SETTINGS: dict[str, Any] = {
    "task": "tissue",
    "cases": {"source": "tiles"},
    "evaluation": {"top_k": 2, "max_new_tokens": 8},
    "student": {"max_prompt_length": 900, "max_length": 1100},
}


@pytest.fixture(scope="module")
def arguments(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What builds a ranker of the base model alone."""
    folder = tmp_path_factory.mktemp("ranker")
    save_llava(tokenizer, folder / "model")
    ids = [f"TISSUE:{name.lower()}" for name in TISSUES]
    Catalogue(Label(i, n, (i,), (), ()) for i, n in zip(ids, TISSUES, strict=True)).write(
        folder / "catalogue.parquet"
    )
    config = Config.model_validate(SETTINGS)
    config = config.model_copy(
        update={"student": config.student.model_copy(update={"base_model": str(folder / "model")})}
    )
    sections = {"evaluation", "resources", "seed", "student", "task"}
    tree = config.model_dump(mode="json", include=sections)
    catalogue = str(folder / "catalogue.parquet")
    return {"student": None, "catalogue": catalogue, "settings": tree | {"k": 2}}


@pytest.fixture
def cases() -> pa.Table:
    """The first two show the same image, one shows none, one has an answer of no catalogue."""
    return pa.table(
        {
            "case_id": ["a", "b", "damaged", "other"],
            "group_id": ["g", "g", "g", "h"],
            "label_id": ["TISSUE:colon", "TISSUE:liver", "TISSUE:liver", "TISSUE:tail"],
            "image": pa.array([picture(1), picture(1), b"no image", picture(2)], pa.binary()),
        }
    ).select(student_columns(TISSUE))


def rows_of(arguments: dict[str, Any], cases: pa.Table, **further: Any) -> dict[str, Any]:
    ranked = StudentRanker(**arguments, **further)(cases)
    assert ranked.schema == RANKED_SCHEMA
    return {row["case_id"]: row for row in ranked.to_pylist()}


def probabilities(row: dict[str, Any]) -> dict[str, float]:
    return {place["text"]: place["probability"] for place in row["listed"]}


def test_every_tissue_is_ranked_by_the_image(arguments: dict[str, Any], cases: pa.Table) -> None:
    rows = rows_of(arguments, cases, generate=["a", "damaged"])
    assert set(rows) == {"a", "b", "damaged", "other"}
    for case_id in ("a", "b", "other"):
        found = probabilities(rows[case_id])
        assert set(found) == set(TISSUES)
        assert sum(found.values()) == pytest.approx(1)
    assert probabilities(rows["a"]) == pytest.approx(probabilities(rows["b"]), rel=1e-4)
    assert probabilities(rows["a"]) != pytest.approx(probabilities(rows["other"]), rel=1e-2)
    assert rows["damaged"]["reason"] == "image_unreadable"
    assert rows["damaged"]["listed"] == rows["damaged"]["generated"] == []
    assert rows["a"]["reason"] is None
    assert rows["a"]["generated"]


def generated(
    arguments: dict[str, Any], cases: pa.Table, **evaluation: Any
) -> dict[str, list[str]]:
    """Freely generated names by case."""
    settings = arguments["settings"]
    changed = settings | {"evaluation": settings["evaluation"] | evaluation}
    rows = rows_of(arguments | {"settings": changed}, cases, generate=["a", "b", "other"])
    return {name: [place["text"] for place in row["generated"]] for name, row in rows.items()}


def test_the_decoding_of_the_settings_is_used(
    arguments: dict[str, Any], cases: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def answer(student: Any, inputs: Any, n: int, draws: Any, names: Any) -> list[str]:
        drawn.append(list(draws))
        return ["MOST_LIKELY_TISSUE:\n1. 'Colon'\n2. 'Moon'"] * len(inputs)

    monkeypatch.setattr("mint_ray.students.ranking.generation.generate", answer)
    assert generated(arguments, cases)["a"] == ["Colon", "Moon"]
    hot = {"decoding": "sampled", "sampling": {"temperature": 2.0}}
    generated(arguments, cases, **hot)
    generated(arguments, cases.slice(1), **hot)
    greedy, all_draws, without_first = drawn
    assert greedy == []
    assert [draw.temperature for draw in all_draws] == [2.0] * 3
    assert len({draw.seed for draw in all_draws}) == 3
    assert without_first == all_draws[1:]  # the same seed in another batch


def test_a_stain_shift_reaches_the_student(arguments: dict[str, Any], cases: pa.Table) -> None:
    keys = [key_of(case_id, Perturbation.STAIN) for case_id in cases["case_id"].to_pylist()]
    asked = cases.set_column(0, "case_id", pa.array(keys))
    plain, stained = rows_of(arguments, cases), rows_of(arguments, asked, stain=1)
    shifted = {case_id: stained[key_of(case_id, Perturbation.STAIN)] for case_id in plain}
    assert probabilities(plain["a"]) != pytest.approx(probabilities(shifted["a"]), rel=1e-2)
    assert shifted["damaged"]["reason"] == "image_unreadable"


def test_a_batch_without_a_usable_image_is_answered(
    arguments: dict[str, Any], cases: pa.Table
) -> None:
    rows = rows_of(arguments, cases.slice(2, 1))
    assert [row["reason"] for row in rows.values()] == ["image_unreadable"]


def test_scores_go_with_a_ranking_if_asked_for(arguments: dict[str, Any], cases: pa.Table) -> None:
    rows = rows_of(arguments, cases, scored=True)
    scored = NamedCaseScorer(**arguments)(cases).to_pylist()
    assert {row["case_id"] for row in scored} == set(rows)
    for expected in scored:
        row = rows[expected["case_id"]]
        for name in ("labels", "answer_rank", "answer_score", "reason"):
            assert row[name] == expected[name]
        assert row["scores"] == expected["scores"]
    assert rows["a"]["scores"]
    assert rows_of(arguments, cases)["a"]["scores"] == []
