import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mint_ray.common import devices
from mint_ray.errors import TrainingError
from mint_ray.students.models.base_models import resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.student import info_of, load_base_student, load_student, write_student
from mint_ray.students.student_folder import read_info
from tests.students.pairs import student_config


@pytest.fixture
def folder(model: Any, tokenizer: Any, base_folder: Path, tmp_path: Path) -> Path:
    config = student_config(base_folder)
    adapted = add_adapter(model, config, None, seed=1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter.data)
    info = info_of(resolve_base_model(str(base_folder)), config, 5, "orpo", {"pairs": "p-1"})
    catalogue = tmp_path / "labels.parquet"
    catalogue.write_bytes(b"labels")
    write_student(tmp_path / "student", adapted, tokenizer, info, catalogue)
    return tmp_path / "student"


def test_a_student_is_read_back(folder: Path, model: Any, base_folder: Path) -> None:
    student = load_student(folder, "cpu")
    assert student.info.k == 5
    assert student.info.lineage == {"pairs": "p-1"}
    assert student.info.base_revision == resolve_base_model(str(base_folder)).revision
    assert student.catalogue is not None
    assert student.catalogue.read_bytes() == b"labels"
    assert not student.model.training
    ids = torch.tensor([[1, 5, 9]])
    assert torch.equal(student.model(ids).logits, model.eval()(ids).logits)


def test_the_base_model_alone_answers_otherwise(folder: Path, base_folder: Path) -> None:
    base = load_base_student(student_config(base_folder), k=5, device="cpu")
    assert base.info.objective is None
    assert base.catalogue is None
    ids = torch.tensor([[1, 5, 9]])
    assert not torch.allclose(base.model(ids).logits, load_student(folder, "cpu").model(ids).logits)


def test_only_safetensors_and_json_leave(folder: Path) -> None:
    assert {file.suffix for file in folder.iterdir()} <= {
        ".safetensors",
        ".json",
        ".jinja",
        ".parquet",
    }


@pytest.mark.parametrize("content", [None, "", "{}", '{"format": 1, "k": 3, "more": 1}', "[]"])
def test_an_unfinished_student_is_refused(folder: Path, content: str | None) -> None:
    manifest = folder / "student.json"
    manifest.unlink() if content is None else manifest.write_text(content)
    with pytest.raises(TrainingError, match="expected a finished student"):
        read_info(folder)


def test_another_base_model_is_noticed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = folder / "student.json"
    content = json.loads(manifest.read_text()) | {"base_revision": "0000"}
    manifest.write_text(json.dumps(content))
    load_student(folder, "cpu")
    assert "trained on 0000" in caplog.text


def test_a_fresh_adapter_depends_on_its_seed(base_folder: Path, tokenizer: Any) -> None:
    from tests.students.conftest import make_model

    def weights(seed: int) -> torch.Tensor:
        adapted = add_adapter(make_model(tokenizer), student_config(base_folder), None, seed)
        return torch.cat([p.flatten() for p in adapted.parameters() if p.requires_grad])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("pays", [True, False])
def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch, pays: bool) -> None:
    monkeypatch.setattr(devices, "bfloat16_pays", lambda: pays)
    cpu = torch.device("cpu")
    assert devices.pick_dtype("auto", cpu) == (torch.bfloat16 if pays else torch.float32)
    assert devices.pick_dtype("bfloat16", cpu) == torch.bfloat16
    assert devices.pick_dtype("float32", cpu) == torch.float32


def test_a_student_of_a_former_release_keeps_its_prompts(folder: Path) -> None:
    record = json.loads((folder / "student.json").read_text())
    assert load_student(folder, "cpu").info.prompt_form == "instruction_first"
    del record["prompt_form"]
    (folder / "student.json").write_text(json.dumps(record))
    student = load_student(folder, "cpu")
    assert student.info.prompt_form == "note_first"
    text = student.tokenizer.decode(list(student.prompt("Tall stature.").ids))
    assert text.index("Tall stature.") < text.index("List EXACTLY 5")
