"""Stage `candidates`: the names that a starting student itself takes for likeliest, case by case.

A calibration compares them (`training.candidates: beam`). Writes `candidates.parquet`, once for all
trainings that start from the student.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.files import replacing
from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.session import begin_session
from mint_ray.stages.workers.scoring import NamedCaseScorer, score_cases
from mint_ray.stages.workers.training import CANDIDATES


def run(context: StepContext) -> StepOutcome:
    """Let the student rank the training cases that have pairs; resumable.

    The names are the best ones of its search, as many as a beam of the default width has. A case
    whose input the student cannot read has none.
    """
    # Ranked by the defaults: the step does not depend on `evaluation`.
    config = context.config.model_copy(update={"evaluation": EvaluationConfig()})
    cases, output, most = context.inputs["cases"], context.output, config.evaluation.beam_width
    paired = pq.read_table(context.inputs["prefer"] / "train.parquet", columns=["case_id"])
    wanted = frozenset(paired["case_id"].to_pylist())
    begin_session(config.resources, context.progress.say)
    context.progress.update(0, 1, f"{len(wanted)} training cases")
    start = config.student.init_adapter
    scored = score_cases(config, start, cases, wanted, output / "ranked", NamedCaseScorer)
    ids = Catalogue.read(cases / "catalogue.parquet").ids
    names = [[ids[label] for label in labels[:most]] for labels in scored["labels"].to_pylist()]
    with replacing(output / CANDIDATES) as partial:
        columns = [scored["case_id"], pa.array(names, pa.list_(pa.string()))]
        pq.write_table(pa.table(columns, ["case_id", "candidates"]), partial)
    return StepOutcome(rows_in=len(wanted), rows_out=sum(map(bool, names)))
