"""The training of `train_driver` in two plain processes, which nothing disturbs."""

import json
from pathlib import Path

from mint_ray.common.collectives import rank
from mint_ray.runtime.metrics_stream import append_metrics
from mint_ray.runtime.ray_train import RUN_NAME
from mint_ray.students.engines.checkpoints import latest_good
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from tests.stages.train_driver import config


def train_without_ray(root: Path, folders: dict[str, Path]) -> None:
    """One process of two: train with each engine, or continue what the stage left in its folder.

    The first process writes the metrics of every step, and those of the last one.
    """
    for engine, out in folders.items():
        made = config(root, engine)
        out.mkdir(exist_ok=True)

        def report(metrics: dict[str, float], _: Path | None, out: Path = out) -> None:
            if rank() == 0:
                append_metrics(out, metrics)

        summary = train(
            TrainingSpec(
                root / "prefer" / "train.parquet",
                out,
                student=made.student,
                training=made.training,
                k=made.preferences.chosen_size,
                seed=made.seed,
            ),
            report,
            latest_good(out / RUN_NAME),
        )
        if rank() == 0:
            (out / "last.json").write_text(json.dumps(dict(summary.metrics)))
