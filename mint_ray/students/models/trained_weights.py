"""Trained weights of a student: a LoRA adapter, or the whole model.

A folder with `adapter_config.json` holds an adapter; one with `config.json` holds a whole model.
"""

import copy
from pathlib import Path
from typing import Any

from peft import (
    PeftModel,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from safetensors.torch import load_model, save_file

from mint_ray.config.training import StudentConfig
from mint_ray.students.models.lora import add_adapter, whole_parameters

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
WHOLE_FILES = ("config.json", "model.safetensors")


def is_adapted(model: Any) -> bool:
    """Return whether a model is a base model with an adapter."""
    return isinstance(model, PeftModel)


def holds_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter; else it should hold a whole model."""
    return (folder / ADAPTER_FILES[0]).is_file()


def weight_files(student: StudentConfig) -> tuple[str, ...]:
    """Return the names of the files that hold the weights `student.adapter` trains."""
    return WHOLE_FILES if student.adapter == "full" else ADAPTER_FILES


def prepare_weights(base: Any, student: StudentConfig, seed: int) -> Any:
    """Make the weights of `student.adapter` trainable, from the start or a starting student.

    With `full` the model itself is trained, but for the image encoder, and the projector where
    `student.projector` is `frozen`.

    Args:
        base: Hugging Face model.
        student: kind of the weights and settings of the adapter; `init_adapter` is the folder to
            start from.
        seed: of a fresh adapter's weights.

    Raises:
        ConfigError: the starting student has other settings than `student`, or the model has no
            projector to train.
    """
    start = student.init_adapter
    if student.adapter == "lora":
        return add_adapter(base, student, start, seed)
    if start is not None:
        load_weights(base, start)
    trained = whole_parameters(base, student)
    for name, parameter in base.named_parameters():
        parameter.requires_grad_(name in trained)
    return base


def write_weights(model: Any, folder: Path) -> None:
    """Write a model's trained weights as safetensors, in PEFT's or transformers' own format."""
    folder.mkdir(parents=True, exist_ok=True)
    if not is_adapted(model):
        # One file whatever the size, so that a folder's files have fixed names.
        model.save_pretrained(folder, max_shard_size="1TB")
        return
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / ADAPTER_FILES[1], metadata={"format": "pt"})
    config = copy.copy(model.peft_config["default"])
    config.inference_mode = True
    config.save_pretrained(folder)


def load_weights(model: Any, folder: Path) -> None:
    """Read the weights that `write_weights` wrote into a model of the same kind."""
    device = next(model.parameters()).device
    if is_adapted(model):
        set_peft_model_state_dict(model, load_peft_weights(str(folder), device=str(device)))
    else:
        load_model(model, str(folder / WHOLE_FILES[1]), device=str(device))


def merged(model: Any) -> Any:
    """Return a model with its adapter merged into its weights, or the model where it has none."""
    return model.merge_and_unload(safe_merge=True) if is_adapted(model) else model


def adapt(base: Any, folder: Path) -> Any:
    """Put a folder's adapter on a base model, for use without training."""
    return PeftModel.from_pretrained(base, str(folder))
