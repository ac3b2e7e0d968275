"""Ranking of validation cases while a student trains, so that runs can be compared early.

The ranks of a run share the cases. Validation draws no random number and leaves the model as it
was, so that a run with validation ends in the same adapter as a run without it.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import entr

from mint_ray.common.collectives import gather, rank, world_size
from mint_ray.common.files import replacing
from mint_ray.errors import ConfigError
from mint_ray.evaluation.metrics.validation import (
    VALIDATED_SCHEMA,
    validated_file,
    validation_metrics,
)
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.students.engines.base import precision
from mint_ray.students.logprobs.layouts import FLEX, attention_of, base_of
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.ranking.rankings import Ranking
from mint_ray.students.student import Student, info_of
from mint_ray.students.training.setup import TrainingState
from mint_ray.students.training_spec import TrainingSpec, ValidationPlan


class Validator:
    """Validation of a run: ranks a plan's cases with the run's present weights.

    Raises:
        ConfigError: the weights are cut up over the ranks (ZeRO-3).
    """

    def __init__(self, plan: ValidationPlan, spec: TrainingSpec, state: TrainingState) -> None:
        if state.engine.name == "zero3":
            raise ConfigError(
                "training.deepspeed: expected off, zero1 or zero2 for validation while training, "
                "found zero3, which cuts the weights up so that no rank can rank; use zero2"
            )
        self._plan, self._state = plan, state
        self._task, self._batch_size = spec.task, spec.micro_batch_size
        self._student = _as_student(plan, spec, state)
        self._catalogue = Catalogue.read(plan.catalogue)
        self._cases = pq.read_table(plan.cases)
        self._ranker: Ranker | None = None
        self.steps = plan.steps(state.steps)
        self.keeps_checkpoints = plan.every is None

    def measure(self, step: int) -> dict[str, float]:
        """Rank the cases and return metrics as `validation/...`, the same on every rank.

        Rank 0 writes the answers to the plan's folder. All ranks must call it.
        """
        local = self._cases.take(list(range(rank(), self._cases.num_rows, world_size())))
        rows = [row for part in gather(self._rank(local)) for row in part]
        table = pa.Table.from_pylist(rows, VALIDATED_SCHEMA).sort_by("case_id")
        if rank() == 0:
            with replacing(validated_file(self._plan.folder, step)) as partial:
                pq.write_table(table, partial)
        metrics = validation_metrics(table, self._plan.evaluation.calibration_bins)
        return {f"validation/{name}": value for name, value in metrics.items()}

    def _rank(self, cases: pa.Table) -> list[dict[str, Any]]:
        policy, base = self._state.policy, base_of(self._state.policy.model)
        attention, was_training = attention_of(base), policy.training
        policy.eval()
        if attention == FLEX:  # ranking masks its tree of names by a boolean 4-D mask
            base.set_attn_implementation("sdpa")
        try:
            with precision(policy):
                return self._answers(cases)
        finally:
            if attention == FLEX:
                base.set_attn_implementation(attention)
            policy.train(was_training)

    def _answers(self, cases: pa.Table) -> list[dict[str, Any]]:
        if self._ranker is None:
            settings = self._plan.evaluation
            self._ranker = Ranker(
                self._student,
                self._catalogue.names,
                top_k=settings.top_k,
                search=settings.search,
                beam_width=settings.beam_width,
                batch_size=self._batch_size,
            )
        rows = cases.to_pylist()
        modality = self._task.input_modality
        usable = [row for row in rows if self._task.why_unusable(row[modality]) is None]
        rankings = self._ranker.rank(
            [row[modality] for row in usable],
            [self._catalogue.index_of(row["label_id"]) for row in usable],
        )
        by_case = {row["case_id"]: ranking for row, ranking in zip(usable, rankings, strict=True)}
        return [answer_row(row, by_case.get(row["case_id"])) for row in rows]


def answer_row(case: Mapping[str, Any], ranking: Ranking | None) -> dict[str, Any]:
    """Make a row of `VALIDATED_SCHEMA`.

    A case that cannot be ranked (None), or whose answer the catalogue lacks, counts as a miss.
    """
    return {
        "case_id": case["case_id"],
        "group_id": case["group_id"],
        "rank": ranking.answer_rank if ranking else None,
        "probability": min(1.0, (ranking.answer_probability or 0.0) if ranking else 0.0),
        "confidence": min(1.0, ranking.probabilities[0] if ranking else 0.0),
        "entropy": float(entr(ranking.scored).sum()) if ranking else 0.0,
    }


def _as_student(plan: ValidationPlan, spec: TrainingSpec, state: TrainingState) -> Student:
    reader = state.tokenizer_or_processor
    processor = reader if hasattr(reader, "tokenizer") else None
    tokenizer = processor.tokenizer if processor is not None else reader
    info = info_of(
        state.base,
        spec.student,
        spec.k,
        spec.training.objective,
        {},
        spec.task.name,
    )
    return Student(state.policy.model, tokenizer, info, plan.catalogue, processor)
