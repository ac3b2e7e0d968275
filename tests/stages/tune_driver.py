"""A campaign on the tiny model, as a driver of its own: ROOT OUT STORE [section.key=value ...]."""

import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from mint_ray.config.config import Config
from mint_ray.config.load import parse_config
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.progress import Progress
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.stages.tune import stage
from mint_ray.tasks.prompts import build_prompt
from mint_ray.tracking import Tracker
from tests.students.pairs import LABELS, NAMES, pair_row, student_config, training_config

TRIALS = 2
STEPS = 12
CHECKPOINT_STEPS = 3
KEY = "tune-00000000"


def write_inputs(root: Path) -> None:
    """The outputs of `cases` and `prefer` that the stage reads."""
    for name in ("cases", "prefer"):
        (root / name).mkdir()
    labels = [Label(key, name, (key,), (), ()) for key, name in LABELS.items()]
    Catalogue(labels).write(root / "cases" / "catalogue.parquet")
    for split, numbers in {"train": range(32), "validation": [32], "test": [33]}.items():
        rows = [pair_row(i, split=split, prompt=build_prompt(note(i), k=2)) for i in numbers]
        pq.write_table(pa.Table.from_pylist(rows), root / "prefer" / f"{split}.parquet")
    cases = [
        {
            "case_id": f"held-{i:02d}",
            "group_id": f"family-{i // 2:02d}",
            "split": "validation",
            "label_id": list(LABELS)[i % len(NAMES)],
            "seen": True,
            "note": note(i),
        }
        for i in range(12)
    ]
    pq.write_table(pa.Table.from_pylist(cases), root / "cases" / "cases.parquet")


def note(number: int) -> str:
    """Invented."""
    return f"A patient with finding {number % 10}. " * 8


def config(root: Path, **tune: Any) -> Config:
    """A few short trials."""
    space = {
        "training.orpo_lambda": {"kind": "loguniform", "low": 0.01, "high": 1.0},
        "student.lora_rank": {"kind": "choice", "values": [2, 4, 8]},
    }
    settings = {"space": space, "trials": TRIALS, "first_rung": 0.2, "startup_trials": 2}
    training = training_config(
        batch_size=8, max_steps=STEPS, epochs=9, checkpoint_steps=CHECKPOINT_STEPS
    )
    return parse_config(
        {
            "student": student_config(root / "base").model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "evaluation": {"bootstrap_samples": 100},
            "resources": {"cpus_per_worker": 1, "threads_per_worker": 1},
            "tune": settings | tune,
        }
    )


def run_stage(root: Path, out: Path, uri: str, **tune: Any) -> tuple[StepOutcome, str]:
    """Run or continue the campaign in `out`; also what was said."""
    out.mkdir(exist_ok=True)
    inputs = {name: root / name for name in ("cases", "prefer")}
    said = StringIO()
    tracker = Tracker(uri, "campaigns")
    with (
        Progress(Console(file=said)).stage("tune", "") as task,
        tracker.run("tune", KEY, out) as run,
    ):
        context = StepContext(config(root, **tune), KEY, inputs, out, run, task)
        outcome = stage.run(context)
    return outcome, said.getvalue()


if __name__ == "__main__":
    root, out, uri = sys.argv[1:4]
    print(run_stage(Path(root), Path(out), uri)[1])
