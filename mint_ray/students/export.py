"""Export of a student as a plain Hugging Face folder, for servers without adapters or mint_ray."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from mint_ray.errors import ConfigError
from mint_ray.evaluation.calibration.calibrator import FILE as CALIBRATION
from mint_ray.evaluation.fused.pool import ranked_by
from mint_ray.students.models.base_models import resolve_base_model
from mint_ray.students.models.trained_weights import merged
from mint_ray.students.student import Student, load_student
from mint_ray.students.student_folder import CATALOGUE, StudentInfo, read_info

CARD = "README.md"
RAY, VLLM, NOT_SERVED = "serve_ray.yaml", "serve_vllm.sh", "serve_not.txt"

_FREE = (
    "Served so, the model answers freely: it can name what its catalogue does not hold, and its "
    "probabilities are not calibrated. Constrained, calibrated answers come from the adapter, with "
    "`mint predict`."
)


def export_student(folder: Path, out: Path, *, force: bool = False) -> None:
    """Merge an adapter into its base model and write what other servers read.

    Args:
        folder: a finished student.
        out: folder that appears whole or not at all: weights as safetensors in the base model's
            precision, tokenizer or processor with the chat template, model card, catalogue,
            `calibration.json` where the student has one that is its own, and files for
            `ray.serve.llm` and vLLM. Look-ups, and a calibration of the pool with them, are not
            the model's.
        force: replace what is there.

    Raises:
        ConfigError: there is something at `out`.
        TrainingError: the folder is not a finished student.
    """
    info = read_info(folder)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())) and not force:
        raise ConfigError(
            f"{out}: expected no such folder, or an empty one, found content; --force replaces it"
        )
    student = load_student(folder, "cpu", "float32")
    model = merged(student.model)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        target = Path(scratch) / "model"
        model.to(_precision(info)).save_pretrained(target)
        (student.processor or student.tokenizer).save_pretrained(target)
        # A calibration of the pool does not hold for the model alone.
        own = [CATALOGUE, CALIBRATION] if ranked_by(folder) == "student" else [CATALOGUE]
        for name in own:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, target / name)
        _write_card(folder, target, info.base_model)
        _write_serving(target, out.absolute(), student)
        if out.exists():
            shutil.rmtree(out)
        os.replace(target, out)


def _precision(info: StudentInfo) -> torch.dtype:
    """Return the precision that the base model is stored in."""
    local = Path(info.base_model).is_dir()
    base = resolve_base_model(info.base_model, None if local else info.base_revision)
    revision = None if base.is_local else base.revision
    dtype = AutoConfig.from_pretrained(base.path, revision=revision).dtype or torch.float32
    return dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype))


def _write_card(folder: Path, target: Path, base: str) -> None:
    """Write the student's card, if it has one, and a section about the export."""
    file = folder / CARD
    card = file.read_text(encoding="utf-8") if file.is_file() else f"# Student of `{base}`\n"
    text = f"{card}\n## Export\n\nThe adapter is merged into `{base}`. {_FREE}\n"
    (target / CARD).write_text(text, encoding="utf-8")


def _write_serving(target: Path, out: Path, student: Student) -> None:
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    foreign = [kind for kind in _model_types(config) if kind not in CONFIG_MAPPING_NAMES]
    if foreign:
        text = (
            f"vLLM and ray.serve.llm cannot load this model: its part {', '.join(foreign)} is no "
            "architecture of transformers. `import mint_ray.images.efficientnet_lite` teaches "
            "transformers to load it; serve the adapter with mint_ray.\n"
        )
        (target / NOT_SERVED).write_text(text, encoding="utf-8")
        return
    name = "mint-vision" if student.task.input_modality == "image" else "mint-text"
    length = student.info.max_length
    app = {
        "name": name,
        "import_path": "ray.serve.llm:build_openai_app",
        "route_prefix": "/",
        "args": {
            "llm_configs": [
                {
                    "model_loading_config": {"model_id": name, "model_source": str(out)},
                    "deployment_config": {
                        "autoscaling_config": {"min_replicas": 1, "max_replicas": 2}
                    },
                    "engine_kwargs": {"max_model_len": length},
                }
            ]
        },
    }
    text = yaml.safe_dump({"applications": [app]}, sort_keys=False)
    (target / RAY).write_text(f"# serve deploy {RAY}\n# {_FREE}\n{text}", encoding="utf-8")
    command = f"vllm serve {out} --served-model-name {name} --max-model-len {length}\n"
    (target / VLLM).write_text(f"#!/bin/sh\n# {_FREE}\nexec {command}", encoding="utf-8")
    (target / VLLM).chmod(0o755)


def _model_types(config: Mapping[str, Any]) -> list[str]:
    """List the architectures of a model and of its parts, from its `config.json`."""
    model_type = [str(config["model_type"])] if "model_type" in config else []
    parts = [value for value in config.values() if isinstance(value, Mapping)]
    return model_type + [kind for part in parts for kind in _model_types(part)]
