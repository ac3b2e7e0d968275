import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from mint_ray.errors import TrainingError
from mint_ray.students.engines.checkpoints import (
    MANIFEST,
    Position,
    latest_good,
    read_position,
    read_shard,
    write_checkpoint,
)
from mint_ray.students.models.lora import add_adapter
from tests.students.conftest import make_model
from tests.students.kept_checkpoints import keep_checkpoints
from tests.students.pairs import student_config

POSITION = Position(step=3, world_size=1, engine="plain", run="abc")
STATE = {"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}}


@pytest.fixture
def adapted(model: Any) -> Any:
    return add_adapter(model, student_config(Path("x")), None, seed=1)


@pytest.fixture
def checkpoints(adapted: Any, tmp_path: Path) -> Path:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path / f"step-{step:08d}", adapted, STATE, POSITION)
    return tmp_path


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_what_was_written_is_read(checkpoints: Path) -> None:
    newest = checkpoints / "step-00000003"
    assert read_position(newest) == POSITION
    torch.testing.assert_close(read_shard(newest, 0, with_rng=True), STATE)


def test_random_numbers_continue(adapted: Any, tmp_path: Path) -> None:
    torch.manual_seed(5)
    write_checkpoint(tmp_path / "a", adapted, STATE, POSITION)
    expected = torch.rand(3)
    torch.manual_seed(6)
    read_shard(tmp_path / "a", 0, with_rng=True)
    assert torch.equal(torch.rand(3), expected)


def test_the_adapter_is_usable_alone(checkpoints: Path, adapted: Any, tokenizer: Any) -> None:
    loaded = PeftModel.from_pretrained(make_model(tokenizer), str(checkpoints / "step-00000003"))
    ids = torch.tensor([[1, 5, 9]])
    torch.testing.assert_close(loaded(ids).logits, adapted.eval()(ids).logits)


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "adapter_config.json", "optimizer-rank0.pt"]
)
def test_a_flipped_bit_is_found_and_the_one_before_is_used(
    checkpoints: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(checkpoints / "step-00000003" / name)
    with pytest.raises(TrainingError, match=name):
        read_position(checkpoints / "step-00000003")
    with caplog.at_level(logging.WARNING):
        assert latest_good(checkpoints) == checkpoints / "step-00000002"
    assert name in caplog.text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', "null"])
def test_a_broken_manifest_is_found(checkpoints: Path, content: str) -> None:
    (checkpoints / "step-00000003" / MANIFEST).write_text(content)
    assert latest_good(checkpoints) == checkpoints / "step-00000002"


def test_a_missing_file_or_manifest_is_found(checkpoints: Path) -> None:
    (checkpoints / "step-00000003" / MANIFEST).unlink()
    (checkpoints / "step-00000002" / "optimizer-rank0.pt").unlink()
    assert latest_good(checkpoints) == checkpoints / "step-00000001"


def test_another_format_is_refused(checkpoints: Path) -> None:
    manifest = checkpoints / "step-00000003" / MANIFEST
    content = json.loads(manifest.read_text()) | {"format": 99}
    manifest.write_text(json.dumps(content))
    with pytest.raises(TrainingError, match="format 99"):
        read_position(checkpoints / "step-00000003")


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert latest_good(tmp_path) is None
    assert latest_good(tmp_path / "absent") is None


def test_the_newest_are_kept(checkpoints: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    keep = keep_checkpoints(kept, keep=2)
    keep({"step": 1.0}, None)
    for step in (2.0, 4.0, 10.0):
        keep({"step": step}, checkpoints / "step-00000003")
    assert sorted(path.name for path in kept.iterdir()) == ["step-00000004", "step-00000010"]
    assert latest_good(kept) == kept / "step-00000010"


def test_pickled_objects_are_refused(checkpoints: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return (Path.touch, (tmp_path / "owned",))

    folder = checkpoints / "step-00000003"
    torch.save({"state": Evil(), "rng": {}}, folder / "optimizer-rank0.pt")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        read_shard(folder, 0, with_rng=True)
    assert not (tmp_path / "owned").exists()
