"""Base models of a bundle: bfloat16 safetensors, each weight once, however many models have it."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

TENSORS = "tensors.safetensors"
NAMES = "tensors.json"
"""File of each model: name of its tensor to name in the pool of `tensors.safetensors`."""

_WEIGHTS = "model.safetensors"


def pack(models: dict[str, Path], folder: Path) -> None:
    """Write models into a pool of tensors, with their other files beside it.

    Args:
        models: folders with `model.safetensors`, by name.
        folder: gets the pool, and a folder for each model.
    """
    import torch
    from safetensors.torch import load_file, save_file

    pool: dict[str, Any] = {}
    for model, source in models.items():
        names = {}
        for name, tensor in load_file(source / _WEIGHTS).items():
            half = tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
            content = half.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            kind = f"{half.dtype}{tuple(half.shape)}".encode()
            names[name] = hashlib.sha256(kind + content).hexdigest()
            pool[names[name]] = half.contiguous()
        (folder / model).mkdir(parents=True)
        (folder / model / NAMES).write_text(json.dumps(names), "utf-8")
        for file in source.iterdir():
            if file.is_file() and file.name not in (_WEIGHTS, "complete.json"):
                shutil.copyfile(file, folder / model / file.name)
    save_file(pool, folder / TENSORS)


def unpack(folder: Path, target: Path) -> None:
    """Write the models of `pack` as folders that `from_pretrained` reads; keep those that exist."""
    from safetensors.torch import load_file, save_file

    sources = [path.parent for path in folder.glob(f"*/{NAMES}")]
    missing = [source for source in sources if not (target / source.name).exists()]
    if not missing:
        return
    pool = load_file(folder / TENSORS)
    target.mkdir(parents=True, exist_ok=True)
    for source in missing:
        working = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target))
        names = json.loads((source / NAMES).read_text("utf-8"))
        # A copy of each: safetensors refuses names that share memory.
        tensors = {name: pool[key].clone() for name, key in names.items()}
        save_file(tensors, working / _WEIGHTS, metadata={"format": "pt"})
        for file in source.iterdir():
            if file.name != NAMES:
                shutil.copyfile(file, working / file.name)
        os.rename(working, target / source.name)
