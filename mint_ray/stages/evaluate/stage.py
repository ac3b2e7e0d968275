"""Stage `evaluate`: rankings of the same held-out cases by every system, metrics, report.

It has three phases: *rank* runs the systems (on Ray); *measure* and *report* are pure functions of
its record. Writes `predictions.parquet`, `metrics.json` and `report.html`. The task of images also
gets `tiles.html`, and `rejected.parquet` for test images that the student cannot use.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq

from mint_ray.cases.schema import REJECTED_SCHEMA
from mint_ray.evaluation.answers import Answers
from mint_ray.evaluation.case_sample import read_tested, sampled_from
from mint_ray.evaluation.measurement import measure_answers
from mint_ray.evaluation.predictions import write_predictions
from mint_ray.evaluation.results import Metrics, write_metrics
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.evaluation import tiles_page
from mint_ray.reports.evaluation.gather import choose_tiles, gather_report
from mint_ray.reports.evaluation.report import write_report
from mint_ray.runtime.inference import infer_together, reporting
from mint_ray.runtime.session import begin_session
from mint_ray.stages.evaluate.controls import write_perturbed
from mint_ray.stages.evaluate.provenance import read_provenance
from mint_ray.stages.evaluate.rank import Comparison
from mint_ray.stages.evaluate.systems import System, name_student, plan_runs
from mint_ray.tasks.task import TASKS


def run(context: StepContext) -> StepOutcome:
    """Rank the tested cases with every system, measure the rankings, write the report."""
    config, output = context.config, context.output
    task = TASKS[config.task]
    comparison = _prepare(context)
    tested, catalogue = comparison.tested, comparison.catalogue
    begin_session(config.resources, context.progress.say)

    answers = rank_cases(comparison, context.progress.update)
    write_predictions(output / "predictions.parquet", answers.predictions)

    measurement = measure_answers(
        answers, tested, catalogue, settings=config.evaluation, seed=config.seed, task=task
    )
    write_metrics(output / "metrics.json", measurement.metrics)

    provenance = read_provenance(context)
    report = gather_report(
        config, comparison.all_cases, catalogue, answers, measurement, provenance
    )
    write_report(output / "report.html", report)
    rejected = answers.of_student.rejected
    if task.input_modality == "image":
        examples = choose_tiles(answers, measurement, catalogue, config.seed)
        images = _read_images(comparison.cases_file, [example.case_id for example in examples])
        tiles = tiles_page.make_tiles(examples, images, answers.student)
        tiles_page.write_tiles(output / tiles_page.NAME, tiles, config.name, answers.student)
        pq.write_table(pa.Table.from_pylist(rejected, REJECTED_SCHEMA), output / "rejected.parquet")
    for name in ("metrics.json", "report.html"):  # never tiles.html: it holds images
        context.run.log_artifact(output / name)
    return StepOutcome(
        rows_in=comparison.all_cases.num_rows,
        rows_out=tested.num_rows,
        rejected=Counter(row["reason"] for row in rejected),
        metrics=_flat(measurement.metrics),
        facts={
            "systems": sorted(measurement.metrics),
            "groups": report.groups,
            "student": answers.student,
            "tested": asdict(sampled_from(config, "test")),
            **({"knowledge": provenance.knowledge} if provenance.knowledge else {}),
        },
    )


def _prepare(context: StepContext) -> Comparison:
    """Read the cases and the catalogue, choose the tested cases, name the student."""
    config, cases = context.config, context.inputs["cases"]
    all_cases, tested = read_tested(cases, config)
    return Comparison(
        config=config,
        inputs=context.inputs,
        output=context.output,
        all_cases=all_cases,
        tested=tested,
        catalogue=Catalogue.read(cases / "catalogue.parquet"),
        student=name_student(config.training.objective, config.student.init_adapter),
    )


def rank_cases(comparison: Comparison, on_progress: Callable[[float, float, str], None]) -> Answers:
    """Let every system answer the tested cases in all of its runs.

    Args:
        on_progress: called with what is done, of how much, and a word on it: first rankings of the
            systems that share a pool of actors, then systems.
    """
    n_tested = comparison.tested.num_rows
    plan = plan_runs(comparison.config, comparison.student, n_tested)
    perturbed = any(run.perturbation for runs in plan.values() for run in runs)
    if perturbed:
        write_perturbed(comparison)
    ranked = _rank_together(comparison, plan, on_progress)
    answers = {}
    for done, (system, runs) in enumerate(plan.items()):
        on_progress(done, len(plan), f"{system.name}: {n_tested} cases")
        answers[system.name] = system.answers(comparison, runs, ranked)
    if perturbed:
        comparison.perturbed_file.unlink()  # the images of all test cases, several times
    on_progress(len(plan), len(plan), "")
    return Answers(answers, comparison.student, frozenset(comparison.free_cases))


def _rank_together(
    comparison: Comparison,
    plan: Mapping[System, Sequence[SystemRun]],
    on_progress: Callable[[float, float, str], None],
) -> dict[str, pa.Table]:
    """Rank by all systems that have a job, in one pool of actors; return their rows by name."""
    jobs = {
        system.name: system.job(comparison, runs)
        for system, runs in plan.items()
        if system.job is not None
    }
    folder, words = comparison.output / "ranked", f"rankings by {', '.join(jobs)}"
    total = sum(len(cases.only or ()) for cases in jobs.values())
    if not jobs:
        return {}
    with reporting(folder, lambda rows: on_progress(min(rows, total), total, words)):
        return infer_together(jobs, folder, comparison.config.resources)


def _read_images(cases_file: Path, case_ids: Sequence[str]) -> dict[str, bytes | None]:
    """Read the encoded images of a few cases."""
    rows = pds.dataset(cases_file, format="parquet").to_table(
        columns=["case_id", "image"], filter=pds.field("case_id").isin(case_ids)
    )
    return dict(zip(rows["case_id"].to_pylist(), rows["image"].to_pylist(), strict=True))


def _flat(metrics: Metrics) -> dict[str, float]:
    return {
        f"{system}.{stratum}.{name}": value["value"]
        for system, strata in metrics.items()
        for stratum, named in strata.items()
        for name, value in named.items()
        if value["value"] is not None
    }
