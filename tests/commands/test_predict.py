"""`mint predict` with students of images and of notes."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mint_ray.cli import main
from mint_ray.commands.predict import predict
from mint_ray.config.training import StudentConfig
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.manifest import Manifest, write_manifest
from mint_ray.pipeline.seal import seal_files
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.models.processors import load_processor
from mint_ray.students.student import info_of, write_student
from tests.students.joined import join_look_ups
from tests.students.pairs import LABELS
from tests.students.tiny_vision import save_llava
from tests.students.vision_cases import TISSUES, picture

pytestmark = pytest.mark.usefixtures("actors_here")


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


@pytest.fixture
def text_student(tokenizer: Any, base_folder: Path, tmp_path: Path) -> Path:
    """A folder of a finished student of notes, which has learned nothing."""
    folder = tmp_path / "student"
    folder.mkdir()
    settings = StudentConfig(
        base_model=str(base_folder), lora_rank=2, max_prompt_length=400, max_length=512
    )
    base = resolve_base_model(settings.base_model)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), settings, None, seed=0)
    Catalogue([Label(key, name, (key,), (), ()) for key, name in LABELS.items()]).write(
        tmp_path / "catalogue.parquet"
    )
    info = info_of(base, settings, 2, "orpo", {}, "disease")
    write_student(folder, model, tokenizer, info, tmp_path / "catalogue.parquet")
    return folder


def table_of_notes(path: Path, notes: dict[str, str], **columns: Any) -> Path:
    """Write a case table of invented notes."""
    rows = [{"case_id": key, "note": note, **columns} for key, note in notes.items()]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_cut_note_is_said(
    text_student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = {"long": "An unremarkable sentence. " * 300 + "Seizures.", "short": "Seizures."}
    cases, out = table_of_notes(tmp_path / "notes.parquet", notes), tmp_path / "out.parquet"
    assert main(predict_arguments(text_student, cases, out)) == 0
    found = {row["case_id"]: row["shortened"] for row in pq.read_table(out).to_pylist()}
    assert found == {"long": True, "short": False}
    assert "notes cut at their end to fit the prompt: 1" in " ".join(
        capsys.readouterr().err.split()
    )


def test_notes_without_a_word_get_no_answer(
    text_student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = {"blank": "  \n\t", "dots": " ... ", "dash": "\u2014", "numbers": "12 - 7"}
    cases, out = table_of_notes(tmp_path / "notes.parquet", notes), tmp_path / "out.parquet"
    assert main(predict_arguments(text_student, cases, out)) == 1
    assert "4 no_modality" in capsys.readouterr().err
    assert read_predictions(out).num_rows == 0
    rejected = pq.read_table(tmp_path / "out.rejected.parquet").to_pylist()
    assert {row["case_id"]: row["reason"] for row in rejected} == dict.fromkeys(
        notes, "no_modality"
    )


def test_a_student_with_look_ups_says_so(text_student: Path, tmp_path: Path) -> None:
    notes = {"findings": "Seizures. Ataxia.", "none": "A person."}
    cases, out = table_of_notes(tmp_path / "notes.parquet", notes), tmp_path / "out.parquet"
    names = list(LABELS.values())
    ids = ["OMIM:154700", *(f"OMIM:90000{place}" for place in range(1, len(names)))]
    labels = [Label(key, name, (key,), (), ()) for key, name in zip(ids, names, strict=True)]
    Catalogue(labels).write(text_student / "catalogue.parquet")
    join_look_ups(text_student)
    predict(text_student, cases, out, top_k=len(names))
    rows = read_predictions(out).to_pylist()
    assert {row["system"] for row in rows} == {"fused"}
    for case_id in notes:
        listed = [row["probability"] for row in rows if row["case_id"] == case_id]
        assert len(listed) == len(names)
        assert sum(listed) == pytest.approx(1)


def test_a_student_whose_file_has_changed(
    text_student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = Manifest.start("train", "train-00000000", 1, {}, {}, seed=0)
    write_manifest(text_student, begun.finish(files=seal_files(text_student)))
    adapter = text_student / "adapter_model.safetensors"
    content = bytearray(adapter.read_bytes())
    content[-9] ^= 1
    adapter.write_bytes(content)
    cases = table_of_notes(tmp_path / "notes.parquet", {"one": "Seizures."})
    assert main(predict_arguments(text_student, cases, tmp_path / "out.parquet")) == 1
    assert "adapter_model.safetensors is damaged" in capsys.readouterr().err


def predict_arguments(student: Path, cases: Path, out: Path) -> list[str]:
    """Return the words of a command that lists one label per case."""
    given = {"--student": student, "--cases": cases, "--out": out, "--top-k": 1}
    return ["predict", *(str(word) for pair in given.items() for word in pair)]


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


def test_a_folder_without_any_usable_image(student: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "torn.png").write_bytes(picture(9)[:80])
    counts = predict(student, tmp_path / "images", tmp_path / "out.parquet", top_k=3)
    assert (counts.ranked, dict(counts.rejected)) == (0, {"image_unreadable": 1})
    assert read_predictions(tmp_path / "out.parquet").num_rows == 0
