"""What the processes of a multi-process test do; importable, so that they can be spawned."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mint_ray.common.collectives import rank
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from tests.students.conftest import student_config, training_config
from tests.students.kept_checkpoints import keep_checkpoints


def losses_of(
    pairs: Path, base: Path, out: Path, micro: int, resume_from: Path | None = None, **changes: Any
) -> list[float]:
    """The loss of every step; see `curves_of`."""
    curves = curves_of(pairs, base, out, micro, resume_from, **changes)
    return [metrics["loss"] for metrics in curves]


def curves_of(
    pairs: Path,
    base: Path,
    out: Path,
    micro: int,
    resume_from: Path | None = None,
    init_adapter: Path | None = None,
    catalogue: Path | None = None,
    **changes: Any,
) -> list[dict[str, float]]:
    """Train and give the metrics of every step; checkpoints land in `out`/checkpoints."""
    curves: list[dict[str, float]] = []
    keep = keep_checkpoints(out / "checkpoints", keep=10)

    def report(metrics: dict[str, float], checkpoint: Path | None) -> None:
        curves.append(metrics)
        keep(metrics, checkpoint)

    train(
        TrainingSpec(
            pairs,
            out,
            student=student_config(base, init_adapter=init_adapter),
            training=training_config(**changes),
            k=2,
            seed=3,
            micro_batch_size=micro,
            catalogue=catalogue,
        ),
        report,
        resume_from,
    )
    return curves


def train_on_two_ranks(
    number: int, folder: Path, pairs: Path, base: Path, runs: list[dict[str, Any]]
) -> None:
    """One process of two: all `runs` in turn; rank 0 writes their losses to losses.json."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=number, world_size=2)
    results = [losses_of(pairs, base, folder / str(i), **run) for i, run in enumerate(runs)]
    if rank() == 0:
        (folder / "losses.json").write_text(json.dumps(results))
    dist.barrier()
    dist.destroy_process_group()
