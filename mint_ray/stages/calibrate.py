"""Stage `calibrate`: a finished student with what makes its answers trustworthy.

Writes the student's own files, `calibration.json`, a model card (`README.md`), and scores.
"""

import shutil
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.evaluation.answer_calibration import calibrate, measure, write_calibration
from mint_ray.evaluation.case_choice import choose_cases
from mint_ray.evaluation.model_card import write_model_card
from mint_ray.evaluation.results import MetricValue
from mint_ray.evaluation.scored import scored_cases
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.stages.ray_session import connect
from mint_ray.stages.scoring import score_cases
from mint_ray.steps import StepContext, StepOutcome
from mint_ray.students.student import read_info, student_files

SCORES = "scores"
TESTED = "test_scores.parquet"
"""Rows of `SCORES_SCHEMA` of the test cases, which another student is compared on."""


def run(context: StepContext) -> StepOutcome:
    """Score validation and test cases, fit on the first, measure on the second."""
    config, output = context.config, context.output
    source = context.inputs[config.promotion.source]
    names = student_files(source)
    for name in names:
        shutil.copyfile(source / name, output / name)
    cases = context.inputs["cases"]
    rows = pq.read_table(
        cases / "cases.parquet", columns=["case_id", "group_id", "split", "label_id"]
    )
    catalogue = Catalogue.read(cases / "catalogue.parquet")
    context.task.say(connect(config.resources))
    settings = config.evaluation
    chosen = {
        split: frozenset(choose_cases(rows, limit, config.seed, split=split)["case_id"].to_pylist())
        for split, limit in (("validation", None), ("test", settings.max_cases))
    }
    wanted = chosen["validation"] | chosen["test"]
    context.task.update(0, 1, f"{len(wanted)} cases")
    table = score_cases(config, source, cases, wanted, output / SCORES)
    parts = {split: _cases_of(table, ids) for split, ids in chosen.items()}
    scored = {split: scored_cases(part) for split, part in parts.items()}
    pq.write_table(parts["test"], output / TESTED)
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
        len(catalogue),
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        seed=config.seed,
    )
    for remark in fitted.remarks():
        context.task.say(f"[Calibration] {remark}")
    fitted = fitted.with_measured(measured)
    write_calibration(output, fitted)
    write_model_card(output, asdict(read_info(output)), fitted, len(catalogue))
    after = measured["after"]
    context.task.say(
        f"[Calibration] temperature {fitted.temperature:.2f}; on {len(scored['test'])} test cases "
        f"NLL {_shown(measured['before']['nll'])} to {_shown(after['nll'])}, coverage "
        f"{_shown(after['coverage'])} with {_shown(after['set_size'])} answers"
    )
    return StepOutcome(
        rows_in=rows.num_rows,
        rows_out=sum(map(len, scored.values())),
        metrics={
            f"{when}.{name}": value["value"]
            for when, values in measured.items()
            for name, value in values.items()
            if value["value"] is not None
        }
        | {"temperature": fitted.temperature},
        facts={
            "student": source.name,
            "files": names,
            "groups": fitted.groups,
            "tested": len(scored["test"]),
        },
    )


def _cases_of(table: pa.Table, ids: frozenset[str]) -> pa.Table:
    """The rows of some cases."""
    return table.filter(pc.is_in(table["case_id"], pa.array(sorted(ids), pa.string())))


def _shown(value: MetricValue) -> str:
    return f"{value['value']:.2f}"
