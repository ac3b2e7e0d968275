"""The whole evaluate stage on images, controls included, with a small untrained student."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.evaluation.results import read_metrics
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.manifest import Manifest, write_manifest
from mint_ray.pipeline.steps import StepContext
from mint_ray.stages.evaluate.stage import run
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.models.processors import load_processor
from mint_ray.students.student import info_of, write_student
from mint_ray.tracking.tracker import NullRun
from tests.evaluation.few_answers import CLASS_METRICS
from tests.students.tiny_vision import save_llava
from tests.students.vision_cases import TISSUES, picture

IDS = [f"TISSUE:{name.lower()}" for name in TISSUES]


class Recorder(NullRun):
    """Keeps the names of what would be logged."""

    def __init__(self) -> None:
        self.artifacts: list[str] = []

    def log_artifact(self, path: Path) -> None:
        self.artifacts.append(path.name)


class Silent:
    """A task that shows nothing."""

    def update(self, done: float, total: float, note: str = "") -> None: ...

    def say(self, message: str) -> None: ...


def write_cases(folder: Path) -> None:
    """Sixteen training and eight test tiles of twelve patients; one test image is damaged."""
    folder.mkdir()
    rows = []
    for place in range(24):
        case = blank_case(f"c{place:02}", "tiles")
        case["group_id"] = f"p{place // 2:02}"
        case["split"] = "train" if place < 16 else "test"
        case["label_id"], case["label_name"] = IDS[place // 2 % 4], TISSUES[place // 2 % 4]
        case["seen"] = True
        case["image"] = picture(place) if place != 23 else b"damaged"
        rows.append(case)
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folder / "cases.parquet")
    labels = [Label(i, name, (i,), (), ()) for i, name in zip(IDS, TISSUES, strict=True)]
    Catalogue(labels).write(folder / "catalogue.parquet")


def write_small_student(folder: Path, config: Config) -> None:
    folder.mkdir()
    base = resolve_base_model(config.student.base_model)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), config.student, None, seed=0)
    info = info_of(base, config.student, 2, "orpo", {}, "tissue")
    write_student(folder, model, load_processor(base), info, None)


@pytest.fixture
def context(tokenizer: Any, tmp_path: Path) -> StepContext:
    save_llava(tokenizer, tmp_path / "model")
    config = Config.model_validate(
        {
            "task": "tissue",
            "cases": {"source": "tiles"},
            "preferences": {"chosen_size": 2, "rejected_size": 2},
            "student": {
                "base_model": str(tmp_path / "model"),
                "lora_rank": 2,
                "max_prompt_length": 900,
                "max_length": 1100,
            },
            "evaluation": {
                "systems": ["majority", "student"],
                "top_k": 2,
                "bootstrap_samples": 100,
            },
            "resources": {"actors": 1},
        }
    )
    write_cases(tmp_path / "cases")
    write_small_student(tmp_path / "train", config)
    for stage, inputs in (
        ("cases", {}),
        ("teach", {"cases": tmp_path / "cases"}),
        ("prefer", {"cases": tmp_path / "cases", "teach": tmp_path / "teach"}),
        ("train", {"prefer": tmp_path / "prefer"}),
    ):
        (tmp_path / stage).mkdir(exist_ok=True)
        manifest = Manifest.start(stage, "key", 1, {}, inputs, 0).finish(facts={"teacher": "x"})
        write_manifest(tmp_path / stage, manifest)
    (tmp_path / "train" / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}) + "\n")
    (tmp_path / "out").mkdir()
    inputs = {stage: tmp_path / stage for stage in ("cases", "teach", "train")}
    return StepContext(config, "key", inputs, tmp_path / "out", Recorder(), Silent())


@pytest.mark.usefixtures("actors_here")
def test_an_image_student_is_measured_with_its_controls(context: StepContext) -> None:
    outcome = run(context)
    metrics = read_metrics(context.output / "metrics.json")
    assert set(metrics) == {"majority", "orpo", "mean_colour", "orpo_stain", "orpo_shuffled"}
    for system, strata in metrics.items():
        assert set(CLASS_METRICS) <= set(strata["all"]), system
        assert strata["all"]["top1"]["n"] == 8
        assert strata["all"]["top1_by_group"]["n"] == 4
    assert outcome.rejected == {"image_unreadable": 1}
    assert pq.read_table(context.output / "rejected.parquet")["case_id"].to_pylist() == ["c23"]
    predictions = pq.read_table(context.output / "predictions.parquet").to_pylist()
    ranked = [row for row in predictions if row["system"] == "orpo"]
    assert len(ranked) == 7 * 4
    report = (context.output / "report.html").read_text()
    assert "ORPO student, images shuffled" in report
    assert "image_unreadable (tested, a miss)" in report
    assert "data:image" not in report
    assert "data:image/jpeg" in (context.output / "tiles.html").read_text()
    assert isinstance(context.run, Recorder)
    assert context.run.artifacts == ["metrics.json", "report.html"]
    assert not (context.output / "perturbed.parquet").exists()
    assert [folder.name for folder in sorted((context.output / "ranked").iterdir())] == [
        "job=orpo",
        "mean_colour",
    ]

    # A second run reads what is there, and writes the same figures.
    again = dataclasses.replace(context, run=Recorder())
    run(again)
    assert read_metrics(context.output / "metrics.json") == metrics
