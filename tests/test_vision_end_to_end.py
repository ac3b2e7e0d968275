"""The chain of the tissue task on arrays in PanNuke's layout, by the command, on real Ray."""

import io
import json
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mint_ray.cli import main
from mint_ray.config.load import load_config
from mint_ray.images.tissue.drawing import render_tile
from mint_ray.images.tissue.patients import draw_patient
from mint_ray.images.tissue.types import TISSUES
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.manifest import read_manifest
from mint_ray.runtime import ray_train
from tests.in_process import local_mode
from tests.students.conftest import make_tokenizer
from tests.students.tiny_vision import save_llava

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

TYPES = (
    "Adrenal_gland", "Bile-duct", "Bladder", "Breast", "Cervix", "Colon", "Esophagus", "HeadNeck",
    "Kidney", "Liver", "Lung", "Ovarian", "Pancreatic", "Prostate", "Skin", "Stomach", "Testis",
    "Thyroid", "Uterus",
)  # fmt: skip
FOLDS = 3
CONFIG = """
name: tiny_vision
task: tissue
cases: {source: pannuke, path: PANNUKE}
teacher: {name: clip_fusion, batch_size: 32, clip: {epochs: 2, views: 1, width: 16}}
preferences: {k: 2, q: 2, batch_size: 16}
student: {base_model: STUDENT, lora_rank: 4, max_prompt_length: 900, max_length: 1200}
training: {learning_rate: 1.0e-3, max_steps: 2, batch_size: 2, checkpoint_steps: 1}
evaluation: {systems: [majority, student, teacher], bootstrap_samples: 100}
resources: {actors: 1}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folds of one drawn image of each of 19 types, a damaged one among them."""
    root = tmp_path_factory.mktemp("vision")
    save_llava(make_tokenizer(), root / "student")
    for fold in range(1, FOLDS + 1):
        images = np.zeros((len(TYPES) + 1, 256, 256, 3))
        masks = np.zeros((len(TYPES) + 1, 256, 256, 6))
        for place in range(len(TYPES)):
            patient = draw_patient(TISSUES[place % len(TISSUES)], 1.0, 100 * fold + place)
            tile = render_tile(patient, 256, place)
            images[place] = tile.rgb
            masks[place, ..., 0] = tile.nuclei
            masks[place, ..., 5] = tile.nuclei == 0
        inner = root / "pannuke" / f"Fold {fold}"
        for kind, array in (("images", images), ("masks", masks)):
            (inner / kind / f"fold{fold}").mkdir(parents=True)
            np.save(inner / kind / f"fold{fold}" / f"{kind}.npy", array)
        np.save(inner / "images" / f"fold{fold}" / "types.npy", np.array([*TYPES, "Breast"]))
    text = CONFIG.replace("PANNUKE", str(root / "pannuke")).replace(
        "STUDENT", str(root / "student")
    )
    (root / "config.yaml").write_text(text, encoding="utf-8")
    return root


def test_pannuke_goes_through_every_stage(
    root: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Ray Data's actors; the training in this process, since Ray passes it no image."""
    monkeypatch.setattr(ray_train, "ScalingConfig", local_mode)
    arguments = [str(root / "config.yaml"), f"store={root / 'store'}"]
    assert main(["run", *arguments]) == 0
    steps = pipeline.plan(load_config(arguments[0], arguments[1:]))

    cases = pq.read_table(steps["cases"].folder / "cases.parquet").to_pylist()
    assert len(cases) == FOLDS * len(TYPES)
    assert len({case["label_id"] for case in cases}) == len(TYPES)
    splits = {(case["group_id"], case["split"]) for case in cases}
    assert {split for _, split in splits} == {"train", "validation", "test"}
    assert len(splits) == FOLDS
    assert all(case["description"] and not case["note"] for case in cases)
    assert read_manifest(steps["cases"].folder).rejected == {"image_blank": FOLDS}

    pairs = pq.read_table(steps["prefer"].folder / "train.parquet").to_pylist()
    assert len(pairs) == len(TYPES)
    for pair in pairs:
        assert Image.open(io.BytesIO(pair["images"][0]["bytes"])).size == (256, 256)
        seen = json.dumps(pair["prompt"])
        assert "nuclei with" not in seen  # the description is for the teacher alone

    metrics = json.loads((steps["evaluate"].folder / "metrics.json").read_text())
    assert {"majority", "orpo", "teacher", "orpo_shuffled", "orpo_stain", "mean_colour"} <= set(
        metrics
    )
    assert {"macro_f1", "balanced_accuracy", "classwise_ece"} <= metrics["orpo"]["all"].keys()
    assert (steps["evaluate"].folder / "tiles.html").is_file()
    client = mlflow.MlflowClient(f"sqlite:///{root / 'store' / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    for run in client.search_runs(experiments):
        assert "tiles.html" not in {item.path for item in client.list_artifacts(run.info.run_id)}
