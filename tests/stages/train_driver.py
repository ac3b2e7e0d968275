"""The stage `train` with two workers on invented pairs, as a driver of its own: ROOT OUT ENGINE.

ROOT holds the base model and the outputs of the stages before. `train_without_ray` is the same
training in two plain processes, which nothing disturbs.
"""

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from mint_ray.common.collectives import rank
from mint_ray.config.config import Config
from mint_ray.config.resources import ResourcesConfig
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.progress import Progress
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.metrics_stream import append_metrics
from mint_ray.runtime.ray_train import RUN_NAME
from mint_ray.stages import train as stage
from mint_ray.students.engines.checkpoints import latest_good
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from mint_ray.tasks.prompts import build_prompt
from mint_ray.tracking.tracker import NullRun
from tests.students.conftest import NAMES, pair_row, student_config, training_config

STEPS = 8
CHECKPOINT_STEPS = 2


def write_inputs(root: Path) -> None:
    """The outputs of `cases` and `prefer` that the stage reads."""
    for name in ("cases", "prefer"):
        (root / name).mkdir()
    labels = [Label(f"OMIM:{i}", name, (f"OMIM:{i}",), (), ()) for i, name in enumerate(NAMES)]
    Catalogue(labels).write(root / "cases" / "catalogue.parquet")
    for split, numbers in {"train": range(16), "validation": [16], "test": [17]}.items():
        notes = {number: f"A patient with finding {number % 10}. " * 8 for number in numbers}
        rows = [pair_row(i, split=split, prompt=build_prompt(notes[i], k=2)) for i in numbers]
        pq.write_table(pa.Table.from_pylist(rows), root / "prefer" / f"{split}.parquet")


def config(root: Path, engine: str, workers: int | tuple[int, int] = 2, **changes: Any) -> Config:
    """Eight steps with dropout, so that the state of the random numbers counts too."""
    settings = {"batch_size": 8, "epochs": 4, "checkpoint_steps": CHECKPOINT_STEPS}
    return Config(
        student=student_config(root / "base", lora_dropout=0.1),
        training=training_config(**settings | {"deepspeed": engine} | changes),
        resources=ResourcesConfig(train_workers=workers, cpus_per_worker=0.5),
    )


def run_stage(
    root: Path, out: Path, engine: str, workers: int | tuple[int, int] = 2, **changes: Any
) -> StepOutcome:
    """Run or continue the stage in `out`."""
    out.mkdir(exist_ok=True)
    inputs = {name: root / name for name in ("cases", "prefer")}
    with Progress(Console(file=StringIO())).stage("train", "") as task:
        made = config(root, engine, workers, **changes)
        return stage.run(StepContext(made, "key", inputs, out, NullRun(), task))


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


if __name__ == "__main__":
    run_stage(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
