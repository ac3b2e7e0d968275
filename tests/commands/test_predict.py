"""`mint predict` with a student of images, on a real Ray."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from mint_ray.commands.predict import predict
from mint_ray.config.training import StudentConfig
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.models.processors import load_processor
from mint_ray.students.student import info_of, write_student
from tests.students.tiny_vision import save_llava
from tests.students.vision_cases import TISSUES, picture

pytestmark = pytest.mark.cluster


@pytest.fixture
def student(tokenizer: Any, tmp_path: Path) -> Path:
    """A folder of a finished student of images, which has learned nothing."""
    save_llava(tokenizer, tmp_path / "model")
    folder = tmp_path / "student"
    folder.mkdir()
    settings = StudentConfig(
        base_model=str(tmp_path / "model"), lora_rank=2, max_prompt_length=900, max_length=1100
    )
    base = resolve_base_model(settings.base_model)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), settings, None, seed=0)
    ids = [f"TISSUE:{name.lower()}" for name in TISSUES]
    labels = [Label(i, name, (i,), (), ()) for i, name in zip(ids, TISSUES, strict=True)]
    Catalogue(labels).write(tmp_path / "catalogue.parquet")
    info = info_of(base, settings, 2, "orpo", {}, "tissue")
    write_student(folder, model, load_processor(base), info, tmp_path / "catalogue.parquet")
    return folder


@pytest.mark.usefixtures("ray_cluster")
def test_images_of_a_folder_are_ranked_or_counted(student: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "predictions.parquet"
    (images / "slide").mkdir(parents=True)
    for number in range(3):
        (images / "slide" / f"{number}.png").write_bytes(picture(number))
    (images / "torn.png").write_bytes(picture(9)[:80])
    counts = predict(student, images, out, top_k=3)
    assert (counts.ranked, dict(counts.rejected)) == (3, {"image_unreadable": 1})
    found = read_predictions(out).to_pylist()
    assert [(row["case_id"], row["rank"]) for row in found] == [
        (f"slide/{number}.png", rank) for number in range(3) for rank in (1, 2, 3)
    ]
    assert all(0 < row["probability"] < 1 for row in found)
    [bad] = pq.read_table(tmp_path / "predictions.rejected.parquet").to_pylist()
    assert bad == {"case_id": "torn.png", "source": "images", "reason": "image_unreadable"}


@pytest.mark.usefixtures("ray_cluster")
def test_a_folder_without_any_usable_image(student: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "torn.png").write_bytes(picture(9)[:80])
    counts = predict(student, tmp_path / "images", tmp_path / "out.parquet", top_k=3)
    assert (counts.ranked, dict(counts.rejected)) == (0, {"image_unreadable": 1})
    assert read_predictions(tmp_path / "out.parquet").num_rows == 0
