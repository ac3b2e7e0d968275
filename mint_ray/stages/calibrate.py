"""Stage `calibrate`: a temperature and conformal sets for a finished student.

Writes the student's own files, `calibration.json`, a model card (`README.md`), and scores. With
`promotion.ranking: fused` it first joins the student with look-ups (`fused.json`, `look_ups/`).
Half of the validation groups then fit the pool, and the others the calibration, since answers
that the pool was fitted to would look too likely.
"""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.folders import files_below
from mint_ray.evaluation.calibration.calibrator import (
    AnswerCalibration,
    calibrate,
    measure,
    write_calibration,
)
from mint_ray.evaluation.calibration.scores import ScoredCases, scored_cases
from mint_ray.evaluation.case_sample import choose_cases, halve_groups, sampled_from
from mint_ray.evaluation.fused.pool import FILE as POOL
from mint_ray.evaluation.fused.pool import read_pool, write_pool
from mint_ray.evaluation.results import MetricValue
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.release import describe_knowledge
from mint_ray.pipeline.manifest import read_manifest
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.cards.model_card import write_model_card
from mint_ray.runtime.session import begin_session
from mint_ray.stages.workers.pools import fit_to_notes
from mint_ray.stages.workers.rankers import ranking_depth
from mint_ray.stages.workers.scoring import NamedCaseScorer, score_cases
from mint_ray.students.student_folder import read_info, student_files
from mint_ray.teachers.note_look_ups import FOLDER, NoteLookUps, fit_look_up

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
    samples = _choose(context)
    begin_session(config.resources, context.progress.say)
    if config.promotion.ranking == "fused":
        fitting, samples["validation"] = halve_groups(samples["validation"], config.seed)
        kept = frozenset(samples["validation"]["group_id"].to_pylist())
        names = [*names, *_join_look_ups(context, source, fitting, kept, catalogue)]
    scored, unreadable = _score(context, samples)
    fitted = _fit(context, scored, len(catalogue))
    write_calibration(output, fitted)
    tested, knowledge = sampled_from(config, "test"), _knowledge_of(context)
    origin = tested.describe()
    if knowledge:
        origin += f"; {describe_knowledge(knowledge)}"
    pool = read_pool(output)
    joined = pool.look_ups if pool else ()
    write_model_card(output, asdict(read_info(output)), fitted, len(catalogue), origin, joined)
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
        rows_in=n_scored + unreadable.total(),
        rows_out=n_scored,
        rejected=dict(unreadable),
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


def _choose(context: StepContext) -> dict[str, pa.Table]:
    """Return rows of the validation and of the test cases that are scored, by split."""
    config = context.config
    columns = ["case_id", "group_id", "split", "label_id", "seen"]
    rows = pq.read_table(context.inputs["cases"] / "cases.parquet", columns=columns)
    limits = {"validation": None, "test": config.evaluation.max_cases}
    per_group = config.evaluation.group_limit(config.task)
    return {
        split: choose_cases(rows, limit, config.seed, split=split, max_per_group=per_group)
        for split, limit in limits.items()
    }


def _join_look_ups(
    context: StepContext,
    student: Path,
    fitting: pa.Table,
    left_out: frozenset[str],
    catalogue: Catalogue,
) -> list[str]:
    """Fit look-ups and the pool that joins them with the student; return their files.

    Neither sees the groups that are left out, on which the pool is calibrated.
    """
    config, cases, output = context.config, context.inputs["cases"], context.output
    look_ups: dict[str, Path] = {
        name: fit_look_up(name, config, cases, output / FOLDER, left_out)
        for name in config.evaluation.fused_look_ups
    }
    context.progress.update(0, 2, f"pool: {fitting.num_rows} cases")
    wanted = frozenset(fitting["case_id"].to_pylist())
    scores = score_cases(config, student, cases, wanted, output / "fitting", NamedCaseScorer)
    pool = fit_to_notes(
        NoteLookUps(look_ups, catalogue), scores, cases / "cases.parquet", catalogue
    )
    write_pool(output, pool)
    return [POOL, *(f"{FOLDER}/{file.name}" for file in files_below(output / FOLDER))]


def _score(
    context: StepContext, samples: Mapping[str, pa.Table]
) -> tuple[dict[str, ScoredCases], Counter[str]]:
    """Return the scores of the chosen cases by split, and why others could not be scored.

    They are computed in one pass, by the folder that this stage writes, so also by its pool if it
    has one.
    """
    output = context.output
    chosen = {split: frozenset(rows["case_id"].to_pylist()) for split, rows in samples.items()}
    wanted = chosen["validation"] | chosen["test"]
    context.progress.update(1, 2, f"{len(wanted)} cases")
    table = score_cases(context.config, output, context.inputs["cases"], wanted, output / SCORES)
    parts = {split: _cases_of(table, ids) for split, ids in chosen.items()}
    pq.write_table(parts["test"], output / TESTED)
    reasons = [
        reason for part in parts.values() for reason in part["reason"].drop_null().to_pylist()
    ]
    return {split: scored_cases(part) for split, part in parts.items()}, Counter(reasons)


def _fit(
    context: StepContext, scored: Mapping[str, ScoredCases], n_labels: int
) -> AnswerCalibration:
    config, settings = context.config, context.config.evaluation
    fitted = calibrate(
        scored["validation"],
        config.promotion.coverage,
        search=settings.search,
        beam_width=settings.beam_width,
        top_k=ranking_depth(config.task, n_labels, settings.top_k),
        ranking=config.promotion.ranking,
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
