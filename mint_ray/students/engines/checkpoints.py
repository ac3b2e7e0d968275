"""Training checkpoints: one folder each, checksummed, nothing pickled.

    adapter_model.safetensors, adapter_config.json   usable alone by PEFT; of full fine-tuning
                                                     model.safetensors, config.json
    optimizer-rank0.pt, ...                          optimizer shard and RNG state of each rank
    checkpoint.json                                  position and sha256 of every file; last

Every rank writes its own files. Where ranks do not share a file system, the receiver of the folders
(Ray Train) brings them together.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mint_ray.common.collectives import gather, rank, world_size
from mint_ray.common.digests import sha256
from mint_ray.common.files import read_json, write_json
from mint_ray.errors import TrainingError
from mint_ray.students.models.trained_weights import write_weights

logger = logging.getLogger(__name__)

MANIFEST = "checkpoint.json"
FORMAT = 2
_SCRATCH = "mint-checkpoint-"
_SHARD = "optimizer-rank"

Report = Callable[[dict[str, float], Path | None], None]


@dataclass(frozen=True)
class Position:
    """Position of a run after `step` optimizer steps.

    `run` is a hash of everything that the result depends on (`resume.fingerprint`), so that a
    checkpoint of another run can be refused.
    """

    step: int
    world_size: int
    engine: str
    run: str


def write_checkpoint(folder: Path, model: Any, state: dict[str, Any], position: Position) -> None:
    """Write this rank's part of a checkpoint; all ranks must call it.

    Rank 0 writes the trained weights and, once it has the checksums of every rank, the manifest.

    Args:
        folder: gets the files.
        model: the trained model, with an adapter or whole.
        state: tensors and plain containers under any names but `rng`.
        position: of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if rank() == 0:
        write_weights(model, folder)
    torch.save(state | {"rng": _rng_state()}, folder / _shard_name(rank()))
    local = {file.name: sha256(file) for file in folder.iterdir() if _is_mine(file.name)}
    files = {name: digest for part in gather(local) for name, digest in part.items()}
    if rank() == 0:
        content = {"format": FORMAT, **asdict(position), "files": dict(sorted(files.items()))}
        write_json(folder / MANIFEST, content)


def read_position(folder: Path) -> Position:
    """Check every file of a checkpoint against its checksum and return its position.

    Raises:
        TrainingError: the checkpoint is incomplete or damaged.
    """
    try:
        content = read_json(folder / MANIFEST)
        files = content["files"]
        position = Position(**{key: content[key] for key in Position.__dataclass_fields__})
        damaged = sorted(name for name in files if sha256(folder / name) != files[name])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"checkpoint {folder}: expected {MANIFEST} and all files that it names, found an "
            f"incomplete checkpoint ({type(error).__name__}); resume from the one before it"
        ) from error
    if damaged:
        raise TrainingError(
            f"checkpoint {folder} is damaged: {', '.join(damaged)} not of the sha256 that "
            f"{MANIFEST} says; resume from the one before it"
        )
    if content.get("format") != FORMAT:
        raise TrainingError(
            f"checkpoint {folder}: expected format {FORMAT}, found format "
            f"{content.get('format')}; resume from the one before it"
        )
    return position


def read_shard(folder: Path, number: int, with_rng: bool) -> dict[str, Any]:
    """Read the state that rank `number` gave to `write_checkpoint`.

    Checksums are not verified here: call `read_position` before.

    Args:
        folder: of the checkpoint.
        number: rank that wrote the shard.
        with_rng: also restore the random generators to that rank's state.
    """
    shard: dict[str, Any] = torch.load(
        folder / _shard_name(number), map_location="cpu", weights_only=True
    )
    rng = shard.pop("rng")
    if with_rng:
        _restore_rng(rng)
    return shard


def latest_good(folder: Path) -> Path | None:
    """Return the newest checkpoint below `folder`, by name, that passes its checksums.

    Damaged ones are logged and passed over. The result is None where no checkpoint is left.
    """
    candidates = (path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    for candidate in sorted(candidates, reverse=True):
        if candidate.name.startswith("."):
            continue
        try:
            read_position(candidate)
        except TrainingError as error:
            logger.warning("%s", error)
            continue
        return candidate
    return None


def scratch_folder() -> "tempfile.TemporaryDirectory[str]":
    """Make a folder of this process for a checkpoint that is handed to `Report`."""
    name = f"{_SCRATCH}rank{rank()}of{world_size()}-{os.getpid()}-"
    return tempfile.TemporaryDirectory(prefix=name)


def sweep_scratch_folders() -> None:
    """Remove the scratch folders of processes on this machine that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}rank*"):
        process = folder.name.split("-")[-2]
        if not (process.isdigit() and _is_alive(int(process))):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It runs, as another user.
        return True
    return True


def _shard_name(number: int) -> str:
    return f"{_SHARD}{number}.pt"


def _is_mine(name: str) -> bool:
    return name == _shard_name(rank()) or (rank() == 0 and not name.startswith(_SHARD))


def _rng_state() -> dict[str, Any]:
    cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _restore_rng(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])
