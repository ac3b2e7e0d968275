"""Fit of a teacher of recorded scores: its scale, its accuracy, and its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.held_out import accuracy
from mint_ray.teachers.recorded.scale import fit_scale
from mint_ray.teachers.recorded.table import RecordedScores
from mint_ray.teachers.recorded.teacher import RecordedTeacher, save_recorded


def finish_recorded(
    out: Path,
    name: str,
    cases: pa.Table,
    catalogue: Catalogue,
    recorded: RecordedScores,
    reason: str,
    facts: Mapping[str, Any],
) -> tuple[dict[str, float], float]:
    """Fit the scale on the validation cases; the first process writes the teacher to `out`.

    Args:
        cases: `case_id`, `split` and `label_id` of all cases.
        reason: why a case without scores cannot be judged.
        facts: where the scores come from; plain JSON.

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one, with
        `cases_without_scores`; and the loss of the scale in nats.
    """
    held_out = cases.filter(pc.equal(cases["split"], "validation"))
    answers = catalogue.indices_of(held_out["label_id"].to_pylist())
    scale, loss = fit_scale(recorded, held_out["case_id"].to_pylist(), answers, len(catalogue))
    if rank() == 0:
        save_recorded(out, name, catalogue, recorded, scale, reason, facts)
    wait_for_all()
    without = sum(case_id not in recorded for case_id in cases["case_id"].to_pylist())
    teacher = RecordedTeacher(catalogue, recorded, scale, reason)
    metrics = accuracy(teacher, held_out, catalogue) | {"cases_without_scores": float(without)}
    return metrics, loss
