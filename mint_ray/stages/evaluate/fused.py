"""System `fused`: the student joined with look-ups on the findings of the same note.

Writes `fused.json`, the fitted pool, beside `look_ups/`, the look-ups that it joins.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.evaluation.answers import SystemAnswers
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.evaluation.fused.pool import OpinionPool, write_pool
from mint_ray.evaluation.fused.rank import rank_fused
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.systems import SystemRun
from mint_ray.stages.evaluate.rank import Comparison, look_up
from mint_ray.stages.workers.pools import fit_to_notes, read_noted
from mint_ray.stages.workers.scoring import NamedCaseScorer, score_cases
from mint_ray.teachers.note_look_ups import NoteLookUps

AT_ONCE = 256
"""Cases that are joined together: bounds the memory of a large catalogue."""


def rank_by_fused(comparison: Comparison, runs: Sequence[SystemRun]) -> SystemAnswers:
    """Fit a pool to validation cases, and rank by its probabilities; resumable."""
    config = comparison.config
    validation = choose_cases(
        comparison.all_cases,
        config.evaluation.fused_cases,
        config.seed,
        split="validation",
        max_per_group=config.evaluation.group_limit(config.task),
    )
    fitted_to = validation["case_id"].to_pylist()
    scores = score_cases(
        config,
        comparison.inputs["train"],
        comparison.inputs["cases"],
        frozenset(fitted_to) | frozenset(comparison.tested_ids),
        comparison.output / "ranked" / "fused",
        NamedCaseScorer,
    )
    names = config.evaluation.fused_look_ups
    look_ups = NoteLookUps(
        {name: look_up(comparison, name) for name in names}, comparison.catalogue
    )
    pool = fit_to_notes(
        look_ups, _of(scores, fitted_to), comparison.cases_file, comparison.catalogue
    )
    write_pool(comparison.output, pool)
    usable = scores.filter(pc.is_null(scores["reason"]))
    predictions = _rank(comparison, look_ups, pool, _of(usable, comparison.tested_ids))
    return SystemAnswers(dict.fromkeys(runs, predictions))


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
