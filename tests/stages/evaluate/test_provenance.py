"""What the report says of the steps before, read from their manifests."""

import json
from pathlib import Path

import pytest

from mint_ray.config.config import Config
from mint_ray.errors import DataError
from mint_ray.pipeline.manifest import Manifest, write_manifest
from mint_ray.pipeline.steps import StepContext
from mint_ray.stages.evaluate.provenance import read_provenance
from mint_ray.tracking.tracker import NullRun
from tests.stages.evaluate.test_evaluate_images import Silent

STEPS = {
    "cases": (),
    "teach": ("cases",),
    "prefer": ("cases", "teach"),
    "train": ("prefer",),
}


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    for stage, names in STEPS.items():
        inputs = {name: tmp_path / name for name in names}
        (tmp_path / stage).mkdir()
        manifest = Manifest.start(stage, f"{stage}-key", 1, {}, inputs, 0)
        rejected = {"image_blank": 2, f"only_{stage}": 1}
        finished = manifest.finish(rows_in=9, rejected=rejected, facts={"teacher": "t1"})
        write_manifest(tmp_path / stage, finished)
    line = json.dumps({"step": 1, "loss": 2.0}) + "\n"
    (tmp_path / "train" / "metrics.jsonl").write_text(line)
    folders = {stage: tmp_path / stage for stage in ("cases", "teach", "train")}
    return StepContext(Config(), "key", folders, tmp_path / "out", NullRun(), Silent())


def test_every_step_that_led_here_is_told_after_its_inputs(context: StepContext) -> None:
    provenance = read_provenance(context)
    assert [step.stage for step in provenance.lineage] == list(STEPS)
    last = provenance.lineage[-1]
    assert (last.step_id, last.inputs, last.rows_in, last.rejected) == (
        "train-key",
        ["prefer"],
        9,
        3,
    )


def test_rejected_rows_are_those_of_cases_and_pairs(context: StepContext) -> None:
    provenance = read_provenance(context)
    assert provenance.rejected == {"image_blank": 4, "only_cases": 1, "only_prefer": 1}
    assert provenance.training == [{"step": 1, "loss": 2.0}]
    assert provenance.teacher_revision == "t1"
    assert "python" in provenance.versions


def test_a_folder_without_a_manifest_is_refused(context: StepContext, tmp_path: Path) -> None:
    (tmp_path / "prefer" / "manifest.json").unlink()
    with pytest.raises(DataError, match="prefer has no manifest"):
        read_provenance(context)
