"""Stage `calibrate`: a temperature and conformal sets for a finished student.

Writes the student's own files, `calibration.json`, a model card (`README.md`), and scores.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.evaluation.calibration.calibrator import (
    AnswerCalibration,
    calibrate,
    measure,
    write_calibration,
)
from mint_ray.evaluation.calibration.scores import ScoredCases, scored_cases
from mint_ray.evaluation.case_sample import choose_cases, sampled_from
from mint_ray.evaluation.results import MetricValue
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.release import describe_knowledge
from mint_ray.pipeline.manifest import read_manifest
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.cards.model_card import write_model_card
from mint_ray.runtime.session import begin_session
from mint_ray.stages.workers.scoring import score_cases
from mint_ray.students.student import read_info, student_files

SCORES = "scores"
TESTED = "test_scores.parquet"
"""File with the scores of the test cases, rows of `SCORES_SCHEMA`, to compare students on."""


def run(context: StepContext) -> StepOutcome:
    """Score validation and test cases, fit on the validation cases, measure on the test cases."""
    config, output = context.config, context.output
    source = context.inputs[config.promotion.source]
    names = student_files(source)
    for name in names:
        shutil.copyfile(source / name, output / name)
    catalogue = Catalogue.read(context.inputs["cases"] / "catalogue.parquet")
    scored = _score(context, source)
    fitted = _fit(context, scored, len(catalogue))
    write_calibration(output, fitted)
    tested, knowledge = sampled_from(config, "test"), _knowledge_of(context)
    origin = tested.describe()
    if knowledge:
        origin += f"; {describe_knowledge(knowledge)}"
    write_model_card(output, asdict(read_info(output)), fitted, len(catalogue), origin)
    for line in (*fitted.remarks(), f"{_summary(fitted)} ({tested.describe()})"):
        context.progress.say(f"[Calibration] {line}")
    metrics = {
        f"{when}.{name}": value["value"]
        for when, values in fitted.measured.items()
        for name, value in values.items()
        if value["value"] is not None
    }
    n_scored = sum(map(len, scored.values()))
    return StepOutcome(
        rows_in=n_scored,
        rows_out=n_scored,
        metrics=metrics | {"temperature": fitted.temperature},
        facts={
            "student": source.name,
            "files": names,
            "groups": fitted.groups,
            "tested": asdict(tested),
            **({"knowledge": knowledge} if knowledge else {}),
        },
    )


def _knowledge_of(context: StepContext) -> dict[str, Any] | None:
    """Return the fact `knowledge` of the cases; None for images."""
    manifest = read_manifest(context.inputs["cases"])
    return None if manifest is None else manifest.facts.get("knowledge")


def _score(context: StepContext, student: Path) -> dict[str, ScoredCases]:
    """Return the scores of the validation and of the test cases, computed in one pass."""
    config, cases = context.config, context.inputs["cases"]
    columns = ["case_id", "group_id", "split", "label_id", "seen"]
    rows = pq.read_table(cases / "cases.parquet", columns=columns)
    limits = {"validation": None, "test": config.evaluation.max_cases}
    per_group = config.evaluation.group_limit(config.task)
    samples = {
        split: choose_cases(rows, limit, config.seed, split=split, max_per_group=per_group)
        for split, limit in limits.items()
    }
    chosen = {split: frozenset(rows["case_id"].to_pylist()) for split, rows in samples.items()}
    begin_session(context.config.resources, context.progress.say)
    wanted = chosen["validation"] | chosen["test"]
    context.progress.update(0, 1, f"{len(wanted)} cases")
    table = score_cases(config, student, cases, wanted, context.output / SCORES)
    parts = {split: _cases_of(table, ids) for split, ids in chosen.items()}
    pq.write_table(parts["test"], context.output / TESTED)
    return {split: scored_cases(part) for split, part in parts.items()}


def _fit(
    context: StepContext, scored: Mapping[str, ScoredCases], n_labels: int
) -> AnswerCalibration:
    config, settings = context.config, context.config.evaluation
    fitted = calibrate(
        scored["validation"],
        config.promotion.coverage,
        search=settings.search,
        beam_width=settings.beam_width,
        top_k=settings.top_k,
    )
    measured = measure(
        fitted,
        scored["test"],
        n_labels,
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        seed=config.seed,
    )
    return fitted.with_measured(measured)


def _summary(fitted: AnswerCalibration) -> str:
    before, after = fitted.measured["before"], fitted.measured["after"]
    return (
        f"temperature {fitted.temperature:.2f}; on {after['nll']['n']} test cases NLL "
        f"{_shown(before['nll'])} to {_shown(after['nll'])}, coverage "
        f"{_shown(after['coverage'])} with {_shown(after['set_size'])} answers"
    )


def _cases_of(table: pa.Table, ids: frozenset[str]) -> pa.Table:
    """Return the rows of the cases with the given ids."""
    return table.filter(pc.is_in(table["case_id"], pa.array(sorted(ids), pa.string())))


def _shown(value: MetricValue) -> str:
    return "–" if value["value"] is None else f"{value['value']:.2f}"
