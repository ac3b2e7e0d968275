"""Cache of converted and assembled models, each made once and checked by SHA-256."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors.torch import save_model
from transformers.utils import logging as transformers_logging

from mint_ray.common.digests import sha256

logger = logging.getLogger(__name__)


_MANIFEST = "complete.json"


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder `target`; make it if it is absent or damaged.

    Of several processes on one file system, one makes it and the others wait. Where locks do not
    hold (some network file systems), each process fills a separate folder. The first to finish
    moves its folder into place; the folders of the others are removed.

    Args:
        target: folder that appears whole or not at all.
        make: writes the files into the empty folder that it is given.
    """
    if _is_intact(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if not _is_intact(target):
            _make(target, make)
    return target


def _make(target: Path, make: Callable[[Path], None]) -> None:
    working = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
    try:
        logger.info("making %s (once)", target.name)
        with _silent_transformers():
            make(working)
        _publish(working, target)
    finally:
        shutil.rmtree(working, ignore_errors=True)


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Keep the library's progress bars and advice out of a command's own lines."""
    verbosity = transformers_logging.get_verbosity()
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bars:
            transformers_logging.enable_progress_bar()


def save_model_folder(model: Any, folder: Path) -> None:
    """Write a Hugging Face model so that `from_pretrained` finds it.

    It also works in any worker of a distributed run, where `save_pretrained` writes on the first
    rank only.
    """
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
    save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})


def _publish(working: Path, target: Path) -> None:
    sums = {file.name: sha256(file) for file in sorted(working.iterdir()) if file.is_file()}
    (working / _MANIFEST).write_text(json.dumps(sums, indent=1), encoding="utf-8")
    if target.exists() and not _is_intact(target):
        logger.warning("%s is damaged and is replaced", target)
        aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=target.parent))
        os.replace(target, aside / target.name)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        os.rename(working, target)
    except OSError:
        # Another process was first: its folder is as good.
        if not _is_intact(target):
            raise


def _is_intact(folder: Path) -> bool:
    try:
        sums = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return bool(sums) and all(sha256(folder / name) == sums[name] for name in sums)
    except (OSError, ValueError, AttributeError, TypeError):
        return False
