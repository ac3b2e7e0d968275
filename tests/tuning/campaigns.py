"""Campaigns without Ray: trials whose workers are a function that writes the same files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.config.config import Config
from mint_ray.config.load import parse_config
from mint_ray.evaluation.metrics.validation import VALIDATED_SCHEMA, validated_file
from mint_ray.tuning.campaign import Campaign
from mint_ray.tuning.stopping import rung_shares
from mint_ray.tuning.trials import FINISHED, METRICS, RUNGS, Trial

STEPS = 27
CASES = 40
SPACE = {
    "training.orpo_lambda": {"kind": "loguniform", "low": 0.01, "high": 1.0},
    "student.lora_rank": {"kind": "choice", "values": [4, 8, 16]},
}


def config(**tune: Any) -> Config:
    """Eight trials of 27 steps with rungs at 3 and 9."""
    settings: dict[str, Any] = {"space": SPACE, "trials": 8, "first_rung": 1 / 9}
    return parse_config({"tune": settings | tune, "evaluation": {"bootstrap_samples": 100}})


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def quality(trial: Trial, step: int) -> float:
    """An invented MRR: best at λ 0.6 and rank 16, growing with the steps."""
    strength = np.log10(float(trial.choices["training.orpo_lambda"]) / 0.6)
    rank = float(trial.choices["student.lora_rank"])
    return float((0.9 - 0.8 * abs(strength) + 0.01 * rank) * (0.5 + 0.5 * step / STEPS) / 1.1)


class Killed(Exception):  # noqa: N818
    """Stands for a lost driver."""


def run(campaign: Campaign, killed: Callable[[int], bool] = lambda done: False) -> None:
    """One trial after another; `killed` is asked at every rung, of the rungs before."""
    seen = 0
    while (trial := campaign.next_trial()) is not None:
        for step in [max(1, round(share * STEPS)) for share in rung_shares(campaign.settings)]:
            reach(trial, step)
            if killed(seen):
                raise Killed
            seen += 1
            if campaign.on_report(trial.number):
                break
        if trial.state == "running":
            reach(trial, STEPS)
            finish(trial)
        campaign.on_trial_end(trial.number)


def reach(trial: Trial, step: int, **metrics: float) -> None:
    """Write what the first worker writes at a rung, and of the steps up to it."""
    with (trial.folder / METRICS).open("a") as stream:
        known = trial.spent()
        for at in range(known + 1, step + 1):
            row = {"step": at, "steps": STEPS, "epoch": at / 9, "loss": 3.0 / at}
            row["training_seconds"] = 0.5 * at
            stream.write(json.dumps(row) + "\n")
    mrr = quality(trial, step)
    row = {"step": step, "steps": STEPS, "validation/mrr": mrr, "validation/nll": 3.0 - 2 * mrr}
    row |= {"validation/ece": 0.1 * (1 + trial.number % 3), "validation/top1": mrr**2}
    with (trial.folder / RUNGS).open("a") as stream:
        stream.write(json.dumps(row | metrics) + "\n")
    _write_answers(validated_file(trial.folder, step), mrr)


def finish(trial: Trial) -> None:
    """Write the file that a finished training writes last."""
    (trial.folder / FINISHED).write_text("{}")


def _write_answers(file: Path, mrr: float) -> None:
    right = round(mrr * CASES)
    rows: list[Mapping[str, Any]] = [
        {
            "case_id": f"case-{i:02d}",
            "group_id": f"group-{i // 2:02d}",
            "rank": 1 if i < right else 5,
            "probability": 0.8 if i < right else 0.05,
            "confidence": 0.8,
            "entropy": 0.5,
        }
        for i in range(CASES)
    ]
    pq.write_table(pa.Table.from_pylist(rows, VALIDATED_SCHEMA), file)
