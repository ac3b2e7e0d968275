"""The usable examples of a training run, encoded on access."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mint_ray.config.training import TrainingConfig
from mint_ray.errors import ConfigError, DataError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.students.data.pair_table import PairTable, UsableRows
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.images import make_encoder
from mint_ray.students.logprobs.examples import CompletionKind, Example
from mint_ray.students.objectives.registry import Objective
from mint_ray.students.training_spec import TrainingSpec


@dataclass(frozen=True)
class TrainingData:
    """Rows on disk, their encoder, and the row numbers of the usable examples."""

    table: PairTable
    maker: RowEncoder
    usable: UsableRows

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.usable.examples)

    def example(self, number: int) -> Example:
        """Encode the example of index `number`, from 0."""
        return self.table.example(self.usable.examples[number], self.maker, number)

    def longest(self) -> Example:
        """Encode the example of most tokens."""
        return self.example(max(range(len(self)), key=self.usable.lengths.__getitem__))

    def preference_ids(self, number: int) -> list[str]:
        """Return the preference ids of an example's rows."""
        rows = self.usable.examples[number]
        return [self.table.preference_id(row) for row in rows]


def read_data(
    spec: TrainingSpec, objective: Objective, tokenizer: Any, processor: Any | None = None
) -> TrainingData:
    """Open the pairs and find the usable rows; see `trainer.train` for the errors."""
    student, compares = spec.student, _compares(spec.training, objective)
    permuted_by = spec.seed if spec.training.answers == "permuted" else None
    candidates = _candidates(spec) if compares == "candidates" else None
    table = PairTable(spec.pairs, compares, permuted_by, candidates)
    encoder = make_encoder(
        tokenizer, processor, student.max_prompt_length, student.max_length, spec.task
    )
    names = _names(spec.training.objective, compares, spec.catalogue)
    with_header = spec.training.odds_over == "names"
    maker = RowEncoder(encoder, compares, names, spec.k, with_header)
    return TrainingData(table, maker, _scan(table, maker))


def _compares(training: TrainingConfig, objective: Objective) -> CompletionKind:
    if training.objective == "sft" and training.sft_on == "answer":
        return "answer"
    return objective.compares


def _candidates(spec: TrainingSpec) -> dict[str, list[str]] | None:
    """Return candidates by case; None for those of the pairs."""
    if spec.training.candidates == "pairs":
        return None
    if spec.candidates is None:
        raise ConfigError(
            "training.candidates=beam: expected a ranking of the training cases, which `mint "
            "train` makes, found none; a campaign of `mint tune` has candidates=pairs"
        )
    rows = pq.read_table(spec.candidates, columns=["case_id", "candidates"])
    return dict(zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True))


def _names(objective: str, compares: CompletionKind, catalogue: Path | None) -> dict[str, str]:
    if compares in ("pairs", "chosen"):
        return {}
    if catalogue is None:
        raise ConfigError(
            f"training.objective={objective} compares names of the catalogue: expected a "
            "catalogue.parquet, found none; pass the file of the cases step"
        )
    labels = Catalogue.read(catalogue).labels
    return {any_id: label.name for label in labels for any_id in label.ids}


def _scan(table: PairTable, maker: RowEncoder) -> UsableRows:
    usable = table.scan(maker)
    if not usable.examples:
        raise DataError(
            f"expected at least one usable preference pair among {len(table)}, found none; correct "
            f"the pairs (rejected rows by reason: {usable.counts})",
            usable.counts,
        )
    return usable
