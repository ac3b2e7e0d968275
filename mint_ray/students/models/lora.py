"""LoRA adapters: the modules that they train, in models of text and of images and text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from mint_ray.config.training import StudentConfig
from mint_ray.errors import ConfigError
from mint_ray.students.models.base_models import has_vision

# Names in transformers: of LLaVA and Mllama; of Idefics3 and SmolVLM; of Qwen2-VL.
PROJECTORS = ("multi_modal_projector", "connector", "merger", "modality_projection")
TOWERS = ("vision_tower", "vision_model", "visual")
ALL_LINEAR = "all-linear"


def lora_targets(base: Any, student: StudentConfig) -> str | list[str]:
    """Return PEFT's target modules as configured, `all-linear` without parts of a vision model.

    PEFT's `all-linear` would take the image encoder and the projector too. Here it leaves out the
    projector, and the image encoder unless `student.vision_tower` is `lora`. Source: PEFT's
    documentation of `target_modules`.
    """
    if isinstance(student.lora_targets, tuple):
        return list(student.lora_targets)
    if student.lora_targets != ALL_LINEAR or not sees_images(base):
        return student.lora_targets
    head = base.get_output_embeddings()
    return [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear)
        and module is not head
        and not _is_in(name, PROJECTORS)
        and (student.vision_tower == "lora" or not _is_in(name, TOWERS))
    ]


def trained_whole(base: Any, student: StudentConfig) -> list[str] | None:
    """Return the modules to train as a whole beside the adapter: the projector, by config.

    Returns:
        Module names; None where the projector stays frozen or the model takes text alone.

    Raises:
        ConfigError: the model has no projector of a known name.
    """
    if student.projector == "frozen" or not sees_images(base):
        return None
    projectors = [
        name
        for name, _ in base.named_modules()
        if name.rpartition(".")[2] in PROJECTORS and not _is_in(name.rpartition(".")[0], PROJECTORS)
    ]
    if not projectors:
        raise ConfigError(
            f"student.projector=train: expected a module named {', '.join(PROJECTORS)} in "
            f"{student.base_model}, found none; set student.projector=frozen"
        )
    return projectors


def whole_parameters(base: Any, student: StudentConfig) -> frozenset[str]:
    """Return the names of the parameters that full fine-tuning trains.

    The image encoder stays frozen, and the projector where `student.projector` is `frozen`.
    """
    frozen = TOWERS if student.projector == "train" else (*TOWERS, *PROJECTORS)
    return frozenset(name for name, _ in base.named_parameters() if not _is_in(name, frozen))


def sees_images(base: Any) -> bool:
    """Return whether a Hugging Face model has an image encoder."""
    return has_vision(base.config)


def _is_in(name: str, parts: Sequence[str]) -> bool:
    return any(step in parts for step in name.split("."))


def add_adapter(base: Any, student: StudentConfig, adapter: Path | None, seed: int) -> Any:
    """Wrap a base model in a LoRA adapter, read from a folder or fresh.

    A fresh adapter depends on the seed alone, so it is the same on every rank. Its weights are
    float32 for every precision of the base model.

    Args:
        base: Hugging Face model.
        student: settings of the adapter.
        adapter: folder of the starting adapter; None for a fresh one.
        seed: of a fresh adapter's weights.

    Raises:
        ConfigError: the starting adapter has other settings than `student`, or the model has no
            projector to train.
    """
    if adapter is not None:
        _refuse_other_settings(adapter, student)
        return PeftModel.from_pretrained(base, str(adapter), is_trainable=True)
    torch.manual_seed(seed)
    return get_peft_model(
        base,
        LoraConfig(
            r=student.lora_rank,
            lora_alpha=student.lora_alpha,
            use_rslora=student.rslora,
            lora_dropout=student.lora_dropout,
            target_modules=lora_targets(base, student),
            modules_to_save=trained_whole(base, student),
            task_type="CAUSAL_LM",
        ),
    )


def _refuse_other_settings(adapter: Path, student: StudentConfig) -> None:
    """Raise ConfigError where the starting adapter's settings differ from the config's.

    The adapter's settings are used, so a different config would have no effect, without a word.
    """
    adapter_config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    names = {
        "lora_rank": "r",
        "lora_alpha": "lora_alpha",
        "lora_dropout": "lora_dropout",
        "rslora": "use_rslora",
    }
    for setting, name in names.items():
        if adapter_config.get(name) != getattr(student, setting):
            raise ConfigError(
                f"student.{setting}: expected {adapter_config.get(name)}, as in the adapter "
                f"{adapter}, found {getattr(student, setting)}; set student.{setting} to the "
                "adapter's value, or start without student.init_adapter"
            )
