"""A merged student: the same answers without us, and the files that servers read."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from mint_ray.config.training import StudentConfig
from mint_ray.errors import ConfigError, TrainingError
from mint_ray.students import export
from mint_ray.students.export import export_student
from mint_ray.students.models.base_models import load_base_model, load_tokenizer, resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.models.processors import load_processor
from mint_ray.students.student import info_of, load_student, write_student
from mint_ray.tasks.prompts import build_prompt
from tests.students.pairs import student_config
from tests.students.tiny_vision import save_llava

PROMPT = build_prompt("Tall stature, long fingers.", k=2)


def write_changed(settings: StudentConfig, folder: Path, catalogue: Path, task: str) -> Path:
    """A student whose adapter changes what the base model says."""
    base = resolve_base_model(settings.base_model)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), settings, None, seed=0)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    reader = load_tokenizer(base) if task == "disease" else load_processor(base)
    folder.mkdir()
    info = info_of(base, settings, 2, "orpo", {"prefer": "prefer-0"}, task)
    write_student(folder, model, reader, info, catalogue)
    return folder


@pytest.fixture(params=[False, True], ids=["lora", "rslora"])
def student(
    request: pytest.FixtureRequest, base_folder: Path, catalogue: Path, tmp_path: Path
) -> Path:
    settings = student_config(base_folder, rslora=request.param)
    return write_changed(settings, tmp_path / "student", catalogue, "disease")


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    text = tokenizer.apply_chat_template(PROMPT, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids).logits
    return found


def test_a_calibration_with_look_ups_is_not_the_models(student: Path, tmp_path: Path) -> None:
    (student / "calibration.json").write_text("{}")
    (student / "fused.json").write_text("{}")
    export_student(student, tmp_path / "out")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert "catalogue.parquet" in names
    assert not names & {"calibration.json", "fused.json"}


def test_transformers_alone_gives_the_same_answers(student: Path, tmp_path: Path) -> None:
    (student / "calibration.json").write_text("{}")
    (student / "README.md").write_text("# A card\n")
    out = tmp_path / "out"
    export_student(student, out)
    adapter = load_student(student, "cpu")
    merged = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert merged.dtype == torch.float32
    expected = logits(adapter.model, adapter.tokenizer)
    torch.testing.assert_close(logits(merged, tokenizer), expected, atol=1e-4, rtol=1e-4)
    base = AutoModelForCausalLM.from_pretrained(adapter.info.base_model)
    assert (logits(base, tokenizer) - expected).abs().max() > 0.1
    names = {file.name for file in out.iterdir()}
    assert names >= {"model.safetensors", "catalogue.parquet", "calibration.json"}
    assert not any(name.startswith("adapter") for name in names)
    card = (out / "README.md").read_text()
    assert card.startswith("# A card")
    assert "answers freely" in card


def test_files_for_servers(student: Path, tmp_path: Path) -> None:
    export_student(student, tmp_path / "out")
    [app] = yaml.safe_load((tmp_path / "out" / export.RAY).read_text())["applications"]
    [config] = app["args"]["llm_configs"]
    assert config["model_loading_config"]["model_source"] == str(tmp_path / "out")
    configs = pytest.importorskip(
        "ray.llm._internal.serve.core.configs.llm_config", exc_type=ImportError
    )
    assert configs.LLMConfig(**config).model_id == "mint-text"
    command = (tmp_path / "out" / export.VLLM).read_text()
    assert f"vllm serve {tmp_path / 'out'} " in command


def test_what_is_there_is_not_overwritten(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        export_student(student, out)

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(export, "_write_serving", fail)
        with pytest.raises(OSError, match="disk full"):
            export_student(student, out, force=True)
    assert [file.name for file in out.iterdir()] == ["notes.txt"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "student"]
    export_student(student, out, force=True)
    assert not (out / "notes.txt").exists()
    with pytest.raises(TrainingError, match="expected a finished student"):
        export_student(tmp_path, tmp_path / "other")


def test_a_student_of_images_keeps_its_trained_projector(
    tokenizer: Any, catalogue: Path, tmp_path: Path
) -> None:
    save_llava(tokenizer, tmp_path / "base")
    settings = student_config(tmp_path / "base", max_prompt_length=900, max_length=1100)
    folder = write_changed(settings, tmp_path / "student", catalogue, "tissue")
    export_student(folder, tmp_path / "out")
    merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "out")
    base = AutoModelForImageTextToText.from_pretrained(tmp_path / "base")
    trained = load_student(folder, "cpu").model.base_model.model
    projector = trained.model.multi_modal_projector
    own = getattr(projector, "modules_to_save", None)
    kept = (own["default"] if own is not None else projector).linear_1.weight
    torch.testing.assert_close(merged.model.multi_modal_projector.linear_1.weight, kept)
    assert not torch.equal(base.model.multi_modal_projector.linear_1.weight, kept)
    assert (tmp_path / "out" / export.VLLM).is_file()


def test_an_encoder_of_our_own_is_said_to_be_one(student: Path, tmp_path: Path) -> None:
    config = {"model_type": "llava", "vision_config": {"model_type": "efficientnet_lite"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    export._write_serving(tmp_path, tmp_path, load_student(student, "cpu"))
    assert "efficientnet_lite" in (tmp_path / export.NOT_SERVED).read_text()
    assert not (tmp_path / export.VLLM).exists()
