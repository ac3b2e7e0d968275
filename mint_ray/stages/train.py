"""Stage `train`: align the student on the preference pairs, on Ray Train with DeepSpeed."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as pds
import ray.train
from ray.train import Checkpoint

from mint_ray.cases.splits import check_no_leakage
from mint_ray.config import Config
from mint_ray.stages.metrics_file import append_metrics, follow_metrics
from mint_ray.stages.ray_session import connect
from mint_ray.stages.ray_train import RUN_NAME, fit, use_resources
from mint_ray.stages.worker_notes import keep_notes, new_notes
from mint_ray.steps import StepContext, StepOutcome
from mint_ray.students.base_models import EMBEDDED, EMBEDDED_VISION, resolve_base_model
from mint_ray.students.checkpoints import latest_good
from mint_ray.students.trainer import TrainingSummary, train

SUMMARY = "summary.json"


def run(context: StepContext) -> StepOutcome:
    """Train, or continue a training that was cut off; write the finished student."""
    config, output = context.config, context.output
    pairs = [
        context.inputs["prefer"] / f"{split}.parquet" for split in ("train", "validation", "test")
    ]
    check_no_leakage(pds.dataset(pairs).to_table(columns=["group_id", "split"]).to_pylist())
    context.task.say(connect(config.resources))
    if config.student.base_model in (EMBEDDED, EMBEDDED_VISION):
        # Made here, with all cores, if this machine's cache has none yet.
        context.task.say("the embedded base model is made once, which can take some minutes")
        base = resolve_base_model(config.student.base_model)
        context.task.say(f"base model {base.reference}, revision {base.revision}")
    settings = {
        "config": config.model_dump(mode="json"),
        "pairs": str(pairs[0]),
        "catalogue": str(context.inputs["cases"] / "catalogue.parquet"),
        "output": str(output),
        "lineage": {name: folder.name for name, folder in context.inputs.items()},
    }

    notes = new_notes(output)

    def say_notes() -> None:
        for line in notes.read():
            context.task.say(line.decode("utf-8", "replace"))

    def watch(metrics: dict[str, float]) -> None:
        say_notes()
        context.run.log_metrics(metrics, step=int(metrics["step"]))
        context.task.update(metrics["step"], metrics["steps"], _note(metrics))

    try:
        with follow_metrics(output, watch):
            fit(_worker, settings, output, config.resources.train_workers, config.resources)
    finally:
        say_notes()
    summary = TrainingSummary(**json.loads((output / SUMMARY).read_text(encoding="utf-8")))
    return StepOutcome(
        rows_in=summary.pairs + sum(summary.rejected.values()),
        rows_out=summary.pairs,
        rejected=summary.rejected,
        # Apart from the curves of the same names, which are logged by step.
        metrics={f"final.{name}": value for name, value in summary.metrics.items()},
        facts={
            name: getattr(summary, name)
            for name in ("layout", "attention", "steps", "cases", "seconds", "regime")
        },
    )


def _note(metrics: Mapping[str, float]) -> str:
    parts = [f"loss {metrics['loss']:.3f}"]
    for name, words in (("rewards/accuracies", "pair accuracy"), ("accuracy", "accuracy")):
        if name in metrics:
            parts.append(f"{words} {metrics[name]:.2f}")
    left = timedelta(seconds=round(metrics["eta_seconds"]))
    return ", ".join([*parts, f"{metrics['pairs_per_second']:.2f} pairs/s, {left} left"])


def _worker(settings: dict[str, Any]) -> None:
    """One Ray Train worker: the learning code, with its reports sent to Ray."""
    config = Config.model_validate(settings["config"])
    output = Path(settings["output"])
    use_resources(config.resources)
    first = ray.train.get_context().get_world_rank() == 0

    def report(metrics: dict[str, float], folder: Path | None) -> None:
        if first:
            append_metrics(output, metrics)
        # Ray's report is a barrier of all workers: worth it for a checkpoint, not for every step.
        if folder is not None:
            ray.train.report(metrics, checkpoint=Checkpoint.from_directory(str(folder)))

    with keep_notes(output) if first else nullcontext():
        summary = train(
            Path(settings["pairs"]),
            output,
            student=config.student,
            training=config.training,
            k=config.preferences.k,
            seed=config.seed,
            micro_batch_size=config.resources.micro_batch_size,
            report=report,
            resume_from=latest_good(output / RUN_NAME),
            catalogue=Path(settings["catalogue"]),
            lineage=settings["lineage"],
            task=config.task,
        )
    if first:
        (output / SUMMARY).write_text(json.dumps(asdict(summary)), encoding="utf-8")
