"""The stage `train` with two workers on invented pairs, as a driver of its own: ROOT OUT ENGINE.

ROOT holds the base model and the outputs of the stages before.
"""

import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from mint_ray.config.config import Config
from mint_ray.config.resources import ResourcesConfig
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.progress import Progress
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.stages import train as stage
from mint_ray.tasks.prompts import build_prompt
from mint_ray.tracking.tracker import NullRun
from tests.students.pairs import NAMES, pair_row, student_config, training_config

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


if __name__ == "__main__":
    run_stage(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
