"""Training curves of ORPO on preference pairs, to compare with the paper's released run.

    python benchmarks/training_curves.py --pairs runs/prefer-.../train.parquet \
        --out benchmarks/results/training_curves.json

Trains the embedded model for some epochs on a sample of the pairs, with the likelihood on prompt
and chosen answer as in the released run, and writes means per epoch. The released run (arXiv
2505.05736) had other data, another base model and 26 epochs, so compare the shapes of the curves,
not their levels.
"""

import argparse
import json
import os
import random
import tempfile
import time
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from record_run import hardware

from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.pipeline.manifest import package_versions
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec

METRICS = (
    "loss",
    "nll_loss",
    "log_odds_ratio",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
)


def sample(path: Path, number: int, folder: Path) -> Path:
    """Write a parquet file with `number` pairs, drawn with a fixed seed; return its path."""
    table = pq.read_table(path)
    rows = sorted(random.Random(0).sample(range(table.num_rows), min(number, table.num_rows)))
    target = folder / "pairs.parquet"
    pq.write_table(table.take(pa.array(rows)), target)
    return target


def per_epoch(steps: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return means of the metrics over the steps that ended in each epoch (from 1)."""
    return [
        {"epoch": epoch} | {name: fmean(step[name] for step in ended) for name in METRICS}
        for epoch, group in groupby(steps, key=lambda step: int(-(-step["epoch"] // 1)))
        if (ended := list(group))
    ]


def main() -> None:
    """Train a student, and write the means per epoch."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    training = TrainingConfig(
        nll_on="prompt_and_chosen",
        learning_rate=1e-3,
        max_grad_norm=1.0,
        epochs=options.epochs,
        batch_size=4,
        deepspeed="off",
        checkpoint_steps=10**6,
    )
    student = StudentConfig(max_prompt_length=320, max_length=512)
    steps: list[dict[str, float]] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        summary = train(
            TrainingSpec(
                sample(options.pairs, options.number, Path(folder)),
                Path(folder) / "student",
                student=student,
                training=training,
                k=3,
                seed=0,
                micro_batch_size=4,
            ),
            lambda metrics, _: steps.append(metrics),
        )
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": package_versions(),
        "pairs": summary.pairs,
        "seconds": round(time.perf_counter() - started),
        "training": training.model_dump(mode="json"),
        "epochs": per_epoch(steps),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
