"""System `fused`: the student joined with look-ups on the findings of the same note.

Writes `fused.json`, the fitted mixture, beside `look_ups/`, the look-ups that it joins.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.arrays import Ints
from mint_ray.evaluation.answers import SystemAnswers
from mint_ray.evaluation.calibration.scores import scored_cases
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.evaluation.fused.fit import fit_mixture
from mint_ray.evaluation.fused.mixture import Mixture, write_mixture
from mint_ray.evaluation.fused.rank import rank_fused
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.systems import SystemRun
from mint_ray.stages.evaluate.rank import Comparison, fit_look_up
from mint_ray.stages.workers.scoring import NamedCaseScorer, score_cases
from mint_ray.teachers.note_look_ups import NoteLookUps

AT_ONCE = 256
"""Cases that are joined together: bounds the memory of a large catalogue."""


def rank_by_fused(comparison: Comparison, runs: Sequence[SystemRun]) -> SystemAnswers:
    """Fit a mixture to validation cases, and rank by its probabilities; resumable."""
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
    usable = scores.filter(pc.is_null(scores["reason"]))
    names = config.evaluation.fused_look_ups
    look_ups = NoteLookUps(
        {name: fit_look_up(comparison, name) for name in names}, comparison.catalogue
    )
    mixture = _fit(comparison, look_ups, _of(usable, fitted_to))
    write_mixture(comparison.output, mixture)
    predictions = _rank(comparison, look_ups, mixture, _of(usable, comparison.tested_ids))
    return SystemAnswers(dict.fromkeys(runs, predictions))


def _fit(comparison: Comparison, look_ups: NoteLookUps, scores: pa.Table) -> Mixture:
    by_name, n_findings = look_ups.score(_notes(comparison, scores))
    labels = [np.array(item, dtype=np.int64) for item in scores["labels"].to_pylist()]
    answers = _answers(comparison, scores)
    return fit_mixture(scored_cases(scores), labels, answers, by_name, n_findings)


def _rank(
    comparison: Comparison, look_ups: NoteLookUps, mixture: Mixture, scores: pa.Table
) -> pa.Table:
    parts = [PREDICTION_SCHEMA.empty_table()]
    notes, answers = _notes(comparison, scores), _answers(comparison, scores)
    for at in range(0, scores.num_rows, AT_ONCE):
        part = scores.slice(at, AT_ONCE)
        by_name, n_findings = look_ups.score(notes[at : at + AT_ONCE])
        parts.append(
            rank_fused(
                mixture,
                part,
                [by_name[name] for name in mixture.look_ups],
                n_findings,
                answers[at : at + AT_ONCE],
                comparison.catalogue,
                comparison.depth,
            )
        )
    return pa.concat_tables(parts)


def _answers(comparison: Comparison, scores: pa.Table) -> Ints:
    """Return (n,) the catalogue index of each known answer, -1 where the catalogue lacks it."""
    cases = comparison.all_cases
    label_of = dict(zip(cases["case_id"].to_pylist(), cases["label_id"].to_pylist(), strict=True))
    labels = [label_of[case_id] for case_id in scores["case_id"].to_pylist()]
    return comparison.catalogue.indices_of(labels)


def _notes(comparison: Comparison, scores: pa.Table) -> list[str]:
    """Return the notes of scored cases, in their order."""
    ids = scores["case_id"].to_pylist()
    rows = pq.read_table(
        comparison.cases_file,
        columns=["case_id", "note"],
        filters=pc.field("case_id").isin(ids),
    )
    note_of = dict(zip(rows["case_id"].to_pylist(), rows["note"].to_pylist(), strict=True))
    return [note_of[case_id] or "" for case_id in ids]


def _of(scores: pa.Table, case_ids: Sequence[str]) -> pa.Table:
    return scores.filter(pc.is_in(scores["case_id"], pa.array(case_ids, pa.string())))
