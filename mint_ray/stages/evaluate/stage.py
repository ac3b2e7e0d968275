"""Stage `evaluate`: every system ranks the same held-out cases; metrics, table, report.

Writes `predictions.parquet`, `metrics.json` and `report.html`; where images are named also
`tiles.html`, and `rejected.parquet` for test images that could not be shown to the student.
"""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.schema import REJECTED_SCHEMA
from mint_ray.errors import TrainingError
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.metrics.teacher_agreement import TeacherLists
from mint_ray.evaluation.outcomes import collect_outcomes, index_cases
from mint_ray.evaluation.perturbed_cases import PLAIN
from mint_ray.evaluation.predictions import majority_predictions, write_predictions
from mint_ray.evaluation.results import Metrics, write_metrics
from mint_ray.evaluation.systems import student_system
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.evaluation.report import write_report
from mint_ray.runtime.session import begin_session
from mint_ray.stages.evaluate.controls import (
    MEAN_COLOUR,
    ask_mean_colour,
    choose_controls,
    write_variations,
)
from mint_ray.stages.evaluate.rank import rank_cases
from mint_ray.stages.evaluate.report import Answers, Measured, report_context, write_tiles_page
from mint_ray.stages.workers.rankers import predictions_of, ranking_depth
from mint_ray.tasks.task import MOST_LABELS, TASKS

GENERATED = "_generated"


def run(context: StepContext) -> StepOutcome:
    """Rank, measure, report."""
    everything = pq.read_table(
        context.inputs["cases"] / "cases.parquet",
        columns=["case_id", "group_id", "split", "label_id", "label_name", "seen"],
    )
    catalogue = Catalogue.read(context.inputs["cases"] / "catalogue.parquet")
    tested = choose_cases(everything, context.config.evaluation.max_cases, context.config.seed)
    begin_session(context.config.resources, context.progress.say)
    answers = _ask_systems(context, everything, tested, catalogue)
    write_predictions(context.output / "predictions.parquet", answers.predictions)
    measured = _measure(context, answers, tested, catalogue)
    metrics = measured.metrics
    write_metrics(context.output / "metrics.json", metrics)
    report = report_context(context, everything, catalogue, answers, measured)
    write_report(context.output / "report.html", report)
    if shows_images(context):
        write_tiles_page(context, catalogue, answers, measured)
        rejected = pa.Table.from_pylist(answers.rejected, REJECTED_SCHEMA)
        pq.write_table(rejected, context.output / "rejected.parquet")
    for name in ("metrics.json", "report.html"):  # never tiles.html: it holds images
        context.run.log_artifact(context.output / name)
    return StepOutcome(
        rows_in=everything.num_rows,
        rows_out=tested.num_rows,
        rejected=Counter(row["reason"] for row in answers.rejected),
        metrics=_flat(metrics),
        facts={
            "systems": sorted(metrics),
            "groups": report.groups,
            "student": answers.student,
        },
    )


def shows_images(context: StepContext) -> bool:
    """Whether the student is shown images."""
    return TASKS[context.config.task].input_modality == "image"


def name_student(objective: str, adapter: Path | None) -> str:
    """System name of a student trained with `objective`, from `adapter` on where there is one.

    An adapter that another program wrote does not say what it was trained with.
    """
    if adapter is None:
        return student_system(objective)
    from mint_ray.students.student import read_info

    try:
        return student_system(objective, read_info(adapter).objective)
    except TrainingError:
        return student_system(objective)


def _measure(
    context: StepContext, answers: Answers, tested: pa.Table, catalogue: Catalogue
) -> Measured:
    """All systems on all tested cases; free answers apart, on the cases that were answered so."""
    free = pc.ends_with(answers.predictions["system"], GENERATED)
    ranked = answers.predictions.filter(pc.invert(free))
    rankings = _measure_on(context, answers, ranked, tested, catalogue)
    asked = tested.filter(pc.is_in(tested["case_id"], pa.array(answers.generated, pa.string())))
    if not asked.num_rows:
        return rankings
    apart = _measure_on(context, answers, answers.predictions.filter(free), asked, catalogue)
    return Measured(
        rankings.cases, rankings.outcomes | apart.outcomes, rankings.metrics | apart.metrics
    )


def _measure_on(
    context: StepContext,
    answers: Answers,
    predictions: pa.Table,
    tested: pa.Table,
    catalogue: Catalogue,
) -> Measured:
    settings = context.config.evaluation
    cases = index_cases(
        tested,
        {any_id: label.label_id for label in catalogue.labels for any_id in label.ids},
        {label.label_id: (label.name, *label.synonyms) for label in catalogue.labels},
    )
    whole = shows_images(context) and len(catalogue) <= MOST_LABELS
    outcomes = collect_outcomes(predictions, cases, settings.top_k, whole=whole)
    metrics = evaluate(
        outcomes,
        cases,
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        seed=context.config.seed,
        teacher=answers.teacher,
        by_class=whole,
    )
    return Measured(cases, outcomes, metrics)


def _ask_systems(
    context: StepContext, everything: pa.Table, tested: pa.Table, catalogue: Catalogue
) -> Answers:
    config, case_ids = context.config, tested["case_id"].to_pylist()
    systems, controls = config.evaluation.systems, choose_controls(context, tested)
    student = name_student(config.training.objective, config.student.init_adapter)
    parts, varied, teacher, shortened = [], [], None, 0
    rejected: list[dict[str, str]] = []
    free = sorted(case_ids)[: config.evaluation.generate_cases]
    source = write_variations(context, tested) if any(controls.values()) else None
    total = len(systems) + bool(controls)
    for done, system in enumerate(systems):
        name = student if system == "student" else system
        context.progress.update(done, total, f"{name}: {tested.num_rows} cases")
        if system == "majority":
            parts.append(_ask_majority(context, everything, tested, catalogue))
            continue
        asked = free if system != "teacher" else []
        ends = controls.get(system, ())
        answered = rank_cases(
            context,
            system,
            frozenset(case_ids),
            len(catalogue),
            free=asked,
            variations=(PLAIN, *ends),
            source=source if ends else None,
        )
        ranked = answered[PLAIN]
        parts.append(predictions_of(ranked, name))
        varied += [predictions_of(answered[end], f"{name}{end}") for end in ends]
        if system == "teacher":
            teacher = _teacher_lists(context, ranked, student)
        else:
            shortened = pc.sum(ranked["shortened"]).as_py()
            rejected = _rejections(ranked)
            if free:
                parts.append(predictions_of(ranked, f"{name}{GENERATED}", "generated"))
    if source is not None:
        source.unlink()  # the images of all test cases, several times
    if controls:
        context.progress.update(total - 1, total, f"{MEAN_COLOUR}: {tested.num_rows} cases")
        parts.append(ask_mean_colour(context, everything, tested, catalogue))
    context.progress.update(total, total)
    everyone = pa.concat_tables([*parts, *varied])
    return Answers(everyone, teacher, shortened, free, student, rejected)


def _ask_majority(
    context: StepContext, everything: pa.Table, tested: pa.Table, catalogue: Catalogue
) -> pa.Table:
    train = everything.filter(pc.equal(everything["split"], "train"))
    counts = Counter(train["label_id"].drop_null().to_pylist())
    names = dict(zip(catalogue.ids, catalogue.names, strict=True))
    depth = ranking_depth(context.config.task, len(catalogue), context.config.evaluation.top_k)
    return majority_predictions(counts, tested, depth, names)


def _rejections(ranked: pa.Table) -> list[dict[str, str]]:
    """Rows of `REJECTED_SCHEMA`: the cases that a student could not be asked about."""
    bad = ranked.filter(pc.is_valid(ranked["reason"])).select(["case_id", "reason"])
    return [{**row, "source": "evaluate"} for row in bad.to_pylist()]


def _teacher_lists(context: StepContext, ranked: pa.Table, student: str) -> TeacherLists:
    k = context.config.preferences.chosen_size
    return TeacherLists(
        case_ids=ranked["case_id"].to_pylist(),
        top=[[row["label_id"] for row in listed[:k]] for listed in ranked["listed"].to_pylist()],
        bottom=ranked["worst"].to_pylist(),
        systems=frozenset({"base", student}),
        depth=k if shows_images(context) else None,
    )


def _flat(metrics: Metrics) -> dict[str, float]:
    return {
        f"{system}.{stratum}.{name}": value["value"]
        for system, strata in metrics.items()
        for stratum, named in strata.items()
        for name, value in named.items()
        if value["value"] is not None
    }
