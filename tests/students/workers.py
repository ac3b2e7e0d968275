"""What the processes of a multi-process test do; importable, so that they can be spawned."""

from pathlib import Path
from typing import Any

from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from tests.students.kept_checkpoints import keep_checkpoints
from tests.students.pairs import student_config, training_config


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


def losses_of_runs(
    folder: Path, pairs: Path, base: Path, runs: list[dict[str, Any]]
) -> list[list[float]]:
    """The losses of several runs, in turn, each in a folder of its own."""
    return [losses_of(pairs, base, folder / str(i), **run) for i, run in enumerate(runs)]
