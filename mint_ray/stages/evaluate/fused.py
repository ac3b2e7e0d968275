"""System `fused`: the student joined with look-ups on the findings of the same note.

Writes `fused.json`, the fitted pool, beside `look_ups/`, the look-ups that it joins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.evaluation.answers import SystemAnswers
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.evaluation.fused.pool import OpinionPool, write_pool
from mint_ray.evaluation.fused.rank import rank_fused
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.systems import SystemRun
from mint_ray.runtime.inference import WantedCases
from mint_ray.stages.evaluate.rank import Comparison, look_up, student_job
from mint_ray.stages.workers.pools import fit_to_notes, read_noted
from mint_ray.teachers.note_look_ups import NoteLookUps

AT_ONCE = 256
"""Cases that are joined together: bounds the memory of a large catalogue."""


def fused_job(comparison: Comparison, runs: Sequence[SystemRun]) -> WantedCases:
    """Return the job that scores validation cases for the pool.

    It scores the tested cases too, unless the student itself is a system: its rows have the scores.
    """
    wanted = frozenset(_fitted_to(comparison))
    if "student" not in comparison.config.evaluation.systems:
        wanted |= frozenset(comparison.tested_ids)
    return replace(student_job(comparison, ()), only=wanted)


def rank_by_fused(
    comparison: Comparison, runs: Sequence[SystemRun], ranked: Mapping[str, pa.Table]
) -> SystemAnswers:
    """Fit a pool to validation cases, and rank by its probabilities.

    Args:
        comparison: the tested cases.
        runs: of the system.
        ranked: rows of `RANKED_SCHEMA` with scores, of `fused` and of the student if it is a
            system.
    """
    rows = pa.concat_tables([ranked[n] for n in ("fused", comparison.student) if n in ranked])
    rows = rows.append_column("group_id", _groups_of(comparison, rows["case_id"].to_pylist()))
    names = comparison.config.evaluation.fused_look_ups
    look_ups = NoteLookUps(
        {name: look_up(comparison, name) for name in names}, comparison.catalogue
    )
    pool = fit_to_notes(
        look_ups, _of(rows, _fitted_to(comparison)), comparison.cases_file, comparison.catalogue
    )
    write_pool(comparison.output, pool)
    usable = rows.filter(pc.is_null(rows["reason"]))
    predictions = _rank(comparison, look_ups, pool, _of(usable, comparison.tested_ids))
    return SystemAnswers(dict.fromkeys(runs, predictions))


def _fitted_to(comparison: Comparison) -> list[str]:
    """Return the ids of the validation cases that the pool is fitted to."""
    config = comparison.config
    chosen = choose_cases(
        comparison.all_cases,
        config.evaluation.fused_cases,
        config.seed,
        split="validation",
        max_per_group=config.evaluation.group_limit(config.task),
    )
    ids: list[str] = chosen["case_id"].to_pylist()
    return ids


def _groups_of(comparison: Comparison, case_ids: Sequence[str]) -> pa.Array:
    cases = comparison.all_cases.select(["case_id", "group_id"]).to_pylist()
    group_of = {row["case_id"]: row["group_id"] for row in cases}
    return pa.array([group_of[case_id] for case_id in case_ids], pa.string())


def _rank(
    comparison: Comparison, look_ups: NoteLookUps, pool: OpinionPool, scores: pa.Table
) -> pa.Table:
    parts = [PREDICTION_SCHEMA.empty_table()]
    catalogue = comparison.catalogue
    noted = read_noted(comparison.cases_file, scores["case_id"].to_pylist(), catalogue)
    for at in range(0, scores.num_rows, AT_ONCE):
        part = slice(at, at + AT_ONCE)
        by_name = look_ups.score(look_ups.read(noted.notes[part]))
        parts.append(
            rank_fused(
                pool,
                scores.slice(at, AT_ONCE),
                [by_name[name] for name in pool.look_ups],
                noted.answers[part],
                catalogue,
                comparison.depth,
            )
        )
    return pa.concat_tables(parts)


def _of(scores: pa.Table, case_ids: Sequence[str]) -> pa.Table:
    return scores.filter(pc.is_in(scores["case_id"], pa.array(case_ids, pa.string())))
