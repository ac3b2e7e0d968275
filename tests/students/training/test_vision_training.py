"""Students of images: trained, saved, loaded, asked; bad images turned away."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mint_ray.config.training import StudentConfig
from mint_ray.errors import ConfigError, DataError
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.students.engines.checkpoints import latest_good
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.lora import lora_targets
from mint_ray.students.models.processors import load_processor
from mint_ray.students.ranking.generation import generate
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import load_base_student, load_student
from mint_ray.students.student_folder import read_info
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from mint_ray.tasks.task import TISSUE
from tests.students.kept_checkpoints import keep_checkpoints
from tests.students.pairs import training_config
from tests.students.tiny_vision import SAVERS, rename_to_smolvlm
from tests.students.vision_cases import TISSUES, image_row, picture, write_image_pairs

STUDENT = {"lora_rank": 4, "lora_alpha": 8.0, "max_prompt_length": 600, "max_length": 900}


@pytest.fixture(scope="module")
def folders(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for kind, save in SAVERS.items():
        made[kind] = tmp_path_factory.mktemp(kind)
        save(tokenizer, made[kind])
    made["smolvlm"] = tmp_path_factory.mktemp("smolvlm")
    SAVERS["idefics3"](tokenizer, made["smolvlm"])
    rename_to_smolvlm(made["smolvlm"])
    return made


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    labels = [Label(f"TISSUE:{n.lower()}", n, (f"TISSUE:{n.lower()}",), (), ()) for n in TISSUES]
    Catalogue(labels).write(tmp_path / "catalogue.parquet")
    return tmp_path / "catalogue.parquet"


def run(pairs: Path, out: Path, base: Path, catalogue: Path | None = None, **more: Any) -> Any:
    settings = {"batch_size": 2, "checkpoint_steps": 2, "learning_rate": 5e-3, "epochs": 2}
    settings |= {"prefix_sharing": "auto"}
    settings |= more.pop("training", {})
    report = more.pop("report", lambda metrics, folder: None)
    resume_from = more.pop("resume_from", None)
    spec = TrainingSpec(
        pairs,
        out,
        student=StudentConfig(base_model=str(base), **STUDENT),  # type: ignore[arg-type]
        training=training_config(**settings),
        k=2,
        seed=0,
        catalogue=catalogue,
        task=TISSUE,
        **more,
    )
    return train(spec, report, resume_from)


@pytest.mark.parametrize("kind", ["llava", "idefics3", "qwen2_vl", "mllama"])
def test_a_trained_student_ranks_images(
    folders: dict[str, Path], kind: str, catalogue: Path, tmp_path: Path
) -> None:
    images = [picture(number) for number in range(4)]
    rows = [image_row(number, [image]) for number, image in enumerate(images)]
    pairs = write_image_pairs(tmp_path / "train.parquet", rows)
    summary = run(pairs, tmp_path / "student", folders[kind], catalogue)
    assert summary.layout == ("padded" if kind == "mllama" else "prefix_shared")
    assert read_info(tmp_path / "student").task == "tissue"

    student = load_student(tmp_path / "student")
    assert student.task.input_modality == "image"
    rankings = Ranker(student, TISSUES, top_k=4).rank(images, [0, 1, 2, 3])
    for ranking in rankings:
        assert sum(ranking.probabilities) == pytest.approx(1.0)
        assert sorted(ranking.labels) == [0, 1, 2, 3]
    assert rankings[0].probabilities != rankings[1].probabilities  # it looks at the image
    alone = Ranker(student, TISSUES, top_k=4).rank(images[2:3])[0]
    assert alone.labels == rankings[2].labels
    assert alone.probabilities == pytest.approx(rankings[2].probabilities, abs=1e-6)
    together = Ranker(student, TISSUES, top_k=4, batch_size=3, frozen=True).rank(images)
    for one, other in zip(rankings, together, strict=True):
        assert one.labels == other.labels
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert len(generate(student, images[:1], 4, names=TISSUES)) == 1


def test_the_projector_is_trained_and_kept(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = [image_row(number, [picture(number)]) for number in range(4)]
    pairs = write_image_pairs(tmp_path / "train.parquet", rows)
    run(pairs, tmp_path / "student", folders["llava"])
    base = resolve_base_model(str(folders["llava"]))
    before = load_base_model(base, torch.float32, "cpu").state_dict()
    student = load_student(tmp_path / "student").model.merge_and_unload()
    after = student.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("multi_modal_projector" in name for name in changed)
    assert any("language_model" in name for name in changed)
    assert not any("vision_tower" in name for name in changed)


def test_a_run_cut_off_continues_to_the_same_student(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    rows = [image_row(number, [picture(number)]) for number in range(6)]
    pairs = write_image_pairs(tmp_path / "train.parquet", rows)
    run(pairs, tmp_path / "whole", folders["llava"])
    steps, keep = [], keep_checkpoints(tmp_path / "kept")

    def cut(metrics: dict[str, float], folder: Path | None) -> None:
        keep(metrics, folder)
        steps.append(metrics["step"])
        if metrics["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(pairs, tmp_path / "cut", folders["llava"], report=cut)
    found = latest_good(tmp_path / "kept")
    assert found is not None
    run(pairs, tmp_path / "cut", folders["llava"], resume_from=found)
    name = "adapter_model.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def bad_images() -> dict[str, list[bytes | None]]:
    """Reason -> images that must be turned away with it."""
    whole = picture(0)
    bomb = io.BytesIO()
    Image.new("1", (10_000, 5_000)).save(bomb, "PNG")
    tiny = io.BytesIO()
    Image.new("RGB", (1, 1)).save(tiny, "PNG")
    blank = []
    for shade in (0, 255):
        buffer = io.BytesIO()
        Image.fromarray(np.full((40, 40, 3), shade, np.uint8)).save(buffer, "PNG")
        blank.append(buffer.getvalue())
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    return {
        "image_missing": [None],
        "image_unreadable": [
            b"",
            whole[:60],
            svg,
            b"file:///etc/passwd",
            b"http://169.254.169.254",
        ],
        "image_too_large": [bomb.getvalue()],
        "image_too_small": [tiny.getvalue()],
        "image_blank": list(blank),
    }


def test_bad_images_are_counted_and_change_nothing(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    good = [image_row(number, [picture(number)]) for number in range(3)]
    bad = [
        (reason, image_row(10 + place, [image]))
        for place, (reason, image) in enumerate(
            (reason, image) for reason, images in bad_images().items() for image in images
        )
    ]
    bad.append(("image_count", image_row(40, [picture(1)]) | {"images": []}))
    rows = [*good, *(row for _, row in bad)]
    summary = run(write_image_pairs(tmp_path / "all", rows), tmp_path / "a", folders["llava"])
    assert summary.rejected == Counter(reason for reason, _ in bad)
    listed = pq.read_table(tmp_path / "a" / "rejected.parquet").to_pylist()
    expected = {(row["preference_id"], reason) for reason, row in bad}
    assert {(row["source"], row["reason"]) for row in listed} == expected
    run(write_image_pairs(tmp_path / "good", good), tmp_path / "b", folders["llava"])
    name = "adapter_model.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_images_may_be_bytes_and_are_never_addresses(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """As other tools write them: without Hugging Face's struct around the bytes."""
    base, rows = folders["llava"], [image_row(number, [picture(number)]) for number in range(3)]
    run(write_image_pairs(tmp_path / "structs", rows), tmp_path / "a", base)
    table = pq.read_table(tmp_path / "structs")
    at = table.schema.get_field_index("images")
    for kind, values in (
        (pa.binary(), [[picture(number)] for number in range(3)]),
        (pa.string(), [["file:///etc/passwd"]] * 3),
    ):
        column = pa.array(values, pa.list_(kind))
        pq.write_table(table.set_column(at, "images", column), tmp_path / str(kind))
    run(tmp_path / "binary", tmp_path / "b", base)
    name = "adapter_model.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(DataError, match="'image_missing': 3"):
        run(tmp_path / "string", tmp_path / "c", base)


def test_a_prompt_of_images_is_never_cut(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = [image_row(0, [picture(0)]), image_row(1, [picture(n) for n in range(20)])]
    pairs = write_image_pairs(tmp_path / "train.parquet", rows)
    assert run(pairs, tmp_path / "student", folders["llava"]).rejected == {"too_long": 1}


def test_a_text_model_is_refused(base_folder: Path, tmp_path: Path) -> None:
    pairs = write_image_pairs(tmp_path / "train.parquet", [image_row(0, [picture(0)])])
    with pytest.raises(ConfigError, match="sees images"):
        run(pairs, tmp_path / "student", base_folder)
    with pytest.raises(ConfigError, match="sees images"):
        load_base_student(StudentConfig(base_model=str(base_folder)), 2, task="tissue")


def test_an_unusable_image_is_named_when_asked(folders: dict[str, Path]) -> None:
    config = StudentConfig(base_model=str(folders["llava"]), **STUDENT)  # type: ignore[arg-type]
    student = load_base_student(config, 2, task="tissue")
    with pytest.raises(DataError, match="image_unreadable"):
        student.prompt(b"no image", TISSUES)


@pytest.mark.parametrize("kind", ["llava", "idefics3", "smolvlm", "qwen2_vl", "mllama"])
def test_adapters_keep_to_the_language_model(folders: dict[str, Path], kind: str) -> None:
    model = load_base_model(resolve_base_model(str(folders[kind])), torch.float32, "cpu")
    frozen = lora_targets(model, StudentConfig())
    assert frozen
    assert not any(part in name for name in frozen for part in ("vis", "connector", "projector"))
    both = lora_targets(model, StudentConfig(vision_tower="lora"))
    assert set(frozen) < set(both)


@pytest.mark.parametrize("kind", ["qwen2_vl", "smolvlm"])
def test_processors_are_put_together_without_torchvision(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    base = resolve_base_model(str(folders[kind]))
    processor = load_processor(base)
    assert processor is not None
    processor.save_pretrained(tmp_path)  # as a finished student is
    assert processor.image_processor.__class__.__name__.endswith("Pil")
