"""Parts that train a student on a bundle's pairs and rank its held-out cases."""

import json
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
from held_out import rank_held_out
from job import TRAINED, Arm, Clock, Job, Result, Save, Skip, write_result

import mint_ray.images.efficientnet_lite  # noqa: F401  so that transformers knows the encoder
from mint_ray.config.config import Config
from mint_ray.students.data import schedule
from mint_ray.students.data.training_data import read_data
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.processors import load_readers
from mint_ray.students.models.trained_weights import load_weights, prepare_weights
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.student import info_of, write_student
from mint_ray.students.student_folder import MANIFEST
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from mint_ray.tasks.task import TASKS

EPOCHS = 3
"""Most passes over the pairs; the time may allow less."""

PROBED = 8
"""Steps by which the time of a step is measured; the first ones warm up."""

PROBE_ROWS = 1024
"""Preference pairs that these steps are taken from, so that little is read."""

PATIENCE = 0.2
"""Share of its time by which a training may be late before it is cut."""

TRAINING_SHARE = 0.7
"""Share of a part's time for training; the rest is for ranking."""

DPO_RATE = 0.1
"""Learning rate of DPO as a share of that of ORPO and SFT: it starts from a trained student."""


class _OutOfTime(Exception):  # noqa: N818
    """Raised within training where its time is over."""


def train_and_rank(job: Job, clock: Clock, save: Save, name: str, arm: Arm) -> Result:
    """Train a student within the part's time, then rank the held-out cases.

    A finished student of an earlier call is not trained again.

    Args:
        job: folders and scale.
        clock: time of the part.
        save: writes what there is after training.
        name: of the student.
        arm: what to train.

    Raises:
        Skip: the bundle has no such pairs, or the student or model to begin with is not there.
    """
    facts = job.facts(arm.kind)
    config = Config.model_validate(facts["config"])
    if arm.start is not None and not (job.students / arm.start / MANIFEST).is_file():
        raise Skip(f"no student {arm.start} to continue from; run its part before")
    spec = _spec(job, _base_model(job, facts, arm), config, name, arm)
    result: Result = {"pairs": facts["prefer"], "cases": facts["cases"]}
    trained = spec.out / TRAINED
    if not trained.is_file():
        training = _train(job, spec, Clock(clock.left * TRAINING_SHARE), arm.passes)
        write_result(trained, training)
    result["training"] = json.loads(trained.read_text("utf-8"))
    save(result)
    cases = job.bundle / "pairs" / arm.kind / "cases.parquet"
    return result | {"ranking": rank_held_out(spec.out, cases, config, clock, job)}


def _base_model(job: Job, facts: Result, arm: Arm) -> str:
    """Return the folder of a model; its name if the bundle leaves it to be made here.

    Raises:
        Skip: the arm's own model is not there.
    """
    folder = job.work / "models" / (arm.model or facts["model"])
    if folder.is_dir():
        return str(folder)
    if arm.model is not None:
        raise Skip(f"no model in {folder}")
    return str(facts["base_model"])


def _spec(job: Job, model: str, config: Config, name: str, arm: Arm) -> TrainingSpec:
    training, pairs = config.training, job.bundle / "pairs" / arm.kind
    rate = training.learning_rate * (DPO_RATE if arm.objective == "dpo" else 1.0)
    changes = {
        "objective": arm.objective,
        "learning_rate": rate,
        "epochs": arm.passes or EPOCHS,
        "max_steps": None,
        "deepspeed": "off",
        # FlexAttention is compiled anew for every length of a row; the throughput part has it.
        "attention": "sdpa",
        "precision": job.precision,
        **arm.changes,
    }
    origin = {
        "base_model": model,
        "init_adapter": None if arm.start is None else job.students / arm.start,
    }
    return TrainingSpec(
        pairs=_few_pairs(job, pairs / "train.parquet") if job.dry else pairs / "train.parquet",
        out=job.students / name,
        student=config.student.model_copy(update=origin),
        training=training.model_copy(update=changes),
        k=config.preferences.chosen_size,
        seed=config.seed if arm.seed is None else arm.seed,
        micro_batch_size=min(training.batch_size, 4) if job.dry else training.batch_size,
        catalogue=pairs / "catalogue.parquet",
        task=TASKS[config.task],
    )


def _train(job: Job, spec: TrainingSpec, clock: Clock, passes: int | None) -> Result:
    """Train so many passes, or as many steps as fit, at most `EPOCHS`; return summary and curve.

    Steps that have to fit are chosen by a measured pace. Where the time is over much earlier than
    the steps, the last checkpoint becomes the student.
    """
    examples = len(set(pq.read_table(spec.pairs, columns=["case_id"])["case_id"].to_pylist()))
    batch, pace, most = spec.training.batch_size, None, 2 if job.dry else None
    if passes is None:
        pace = _measure_pace(job, spec, examples)
        fitting = max(1, int((clock.left - pace.setup) / pace.step))
        most = most or fitting
    steps = schedule.total_steps(examples, batch, passes or EPOCHS, most)
    changes = {"max_steps": steps, "checkpoint_steps": max(1, -(-steps // 3))}
    spec = replace(spec, training=spec.training.model_copy(update=changes))
    kept, curve = spec.out.with_name(f"{spec.out.name}-checkpoint"), list[dict[str, float]]()

    def report(metrics: dict[str, float], checkpoint: Path | None) -> None:
        curve.append(metrics)
        if metrics["step"] == steps:
            return
        if checkpoint is not None:
            shutil.rmtree(kept, ignore_errors=True)
            # Of a model of 1.5 billion parameters it has 18 GB.
            shutil.copytree(checkpoint, kept, copy_function=_link_or_copy)
        if kept.is_dir() and clock.left < -PATIENCE * clock.seconds:
            raise _OutOfTime

    facts: Result = {
        "objective": spec.training.objective,
        "learning_rate": spec.training.learning_rate,
        "batch_size": batch,
        "steps_planned": steps,
        "pace": None if pace is None else asdict(pace),
    }
    try:
        facts |= asdict(train(spec, report))
    except _OutOfTime:
        facts |= {"steps": _finish_from(spec, kept), "seconds": clock.spent}
    shutil.rmtree(kept, ignore_errors=True)
    return facts | {"epochs": facts["steps"] * batch / examples, "curve": _thinned(curve)}


def _link_or_copy(source: str, target: str) -> None:
    """Link a file that its owner only deletes, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@dataclass(frozen=True)
class Pace:
    """Seconds that a training needs: until its first step, and for each step."""

    setup: float
    step: float


def _measure_pace(job: Job, spec: TrainingSpec, examples: int) -> Pace:
    """Measure the pace in a short training on some of the pairs, which is thrown away.

    Args:
        job: folders and scale.
        spec: of the training.
        examples: number of examples that the pairs make.
    """
    folder = job.work / f"probe-{spec.out.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = pq.read_table(spec.pairs)
    few = table.slice(0, PROBE_ROWS)
    pq.write_table(few, folder / "pairs.parquet")
    steps = 3 if job.dry else PROBED
    changes = {"max_steps": steps, "epochs": 1000, "checkpoint_steps": steps}
    training = spec.training.model_copy(update=changes)
    probe = replace(spec, pairs=folder / "pairs.parquet", out=folder / "student", training=training)
    readers = load_readers(resolve_base_model(spec.student.base_model))
    started = time.perf_counter()
    read_data(probe, OBJECTIVES[training.objective], *readers)
    read, times = time.perf_counter(), list[float]()
    train(probe, lambda metrics, checkpoint: times.append(time.perf_counter()))
    # The last report also waits for a checkpoint.
    step = statistics.median([later - early for early, later in pairwise(times[:-1])][-4:])
    setup = times[0] - read + (read - started) * table.num_rows / few.num_rows
    if training.objective == "dpo":
        # All pairs are first scored without gradients, which is a third of the work of a step.
        setup += step / 3 * examples / training.batch_size
    return Pace(setup, step)


def _finish_from(spec: TrainingSpec, checkpoint: Path) -> int:
    """Make a checkpoint the finished student; return its number of steps."""
    import torch

    from mint_ray.students.engines.checkpoints import read_position

    base = resolve_base_model(spec.student.base_model)
    tokenizer, processor = load_readers(base)
    model = load_base_model(base, torch.bfloat16, "cpu")
    model = prepare_weights(model, spec.student, spec.seed)
    load_weights(model, checkpoint)
    info = info_of(base, spec.student, spec.k, spec.training.objective, {}, spec.task.name)
    write_student(spec.out, model, processor or tokenizer, info, spec.catalogue)
    return read_position(checkpoint).step


def _thinned(curve: Sequence[dict[str, float]], points: int = 100) -> list[dict[str, float]]:
    """Return about `points` of the steps' metrics, the last among them."""
    every = max(1, len(curve) // points)
    return [*curve[:-1:every], *curve[-1:]]


def _few_pairs(job: Job, file: Path) -> Path:
    """Write a hundredth of the pairs, at least 16."""
    table = pq.read_table(file)
    few = job.work / "few" / file.parent.name / file.name
    few.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.slice(0, max(16, table.num_rows // 100)), few)
    return few
