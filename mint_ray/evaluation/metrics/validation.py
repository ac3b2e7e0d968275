"""Answers of a student in training to validation cases, one row per case, and their metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Floats, Ints
from mint_ray.evaluation.metrics.bootstrap import Interval, percentile_interval, resample_blocks
from mint_ray.evaluation.metrics.compute import case_metrics
from mint_ray.evaluation.metrics.ece import assign_bins, ece_of_sums, gap_columns
from mint_ray.evaluation.outcomes import Outcomes

VALIDATED_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32()),  # of the known answer, from 1; null for a miss
        pa.field("probability", pa.float64(), nullable=False),  # of the known answer; 0 for a miss
        pa.field("confidence", pa.float64(), nullable=False),  # probability of the first answer
        pa.field("entropy", pa.float64(), nullable=False),  # of the probabilities of all names
    ]
)
MEASURED = ("mrr", "top1", "top3", "top10", "nll", "brier", "ece")
WATCHED = ("confidence", "entropy", "top1", "ece")
"""Metrics that show a collapse of a student's preferences along its training."""


def validated_file(folder: Path, step: int) -> Path:
    """Return the file of the answers after an optimizer step, rows of `VALIDATED_SCHEMA`."""
    return folder / f"validated-{step:08d}.parquet"


@dataclass(frozen=True)
class _Columns:
    """Columns over n cases whose sums give every metric."""

    means: Mapping[str, Floats]
    """(n,) of each metric that is a mean over cases."""
    gaps: Floats
    """(n, bins), see `gap_columns`."""


def validation_metrics(validated: pa.Table, bins: int) -> dict[str, float]:
    """Compute every metric of `MEASURED`, mean confidence, and mean entropy in nats.

    Confidence and entropy are those of the names that the search scored: of a beam search, the
    names that it finished.

    Args:
        validated: rows of `VALIDATED_SCHEMA`.
        bins: number of equal-width confidence bins of the ECE.
    """
    columns = _columns(validated, bins)
    means = {name: float(values.mean()) for name, values in columns.means.items()}
    for name in ("confidence", "entropy"):
        means[name] = float(validated[name].to_numpy().mean())
    return means | {"ece": float(ece_of_sums(columns.gaps.sum(0), validated.num_rows))}


def paired_differences(
    first: pa.Table, second: pa.Table, *, bins: int, samples: int, seed: int
) -> dict[str, Interval]:
    """Compute the difference `first` − `second` in every metric, with 95% bootstrap intervals.

    Args:
        first, second: rows of `VALIDATED_SCHEMA` for the same cases, in any order.
        bins: number of equal-width confidence bins of the ECE.
        samples: number of bootstrap resamples of whole groups.
        seed: of the resamples.

    Raises:
        ValueError: the tables have different cases.
    """
    first, second = first.sort_by("case_id"), second.sort_by("case_id")
    if first["case_id"].to_pylist() != second["case_id"].to_pylist():
        raise ValueError(
            f"expected the same cases in both tables, found {first.num_rows} and "
            f"{second.num_rows} rows whose case ids differ"
        )
    _, groups = np.unique(np.array(first["group_id"].to_pylist()), return_inverse=True)
    values = [_resampled(table, groups, bins, samples, seed) for table in (first, second)]
    gaps = {name: values[0][name] - values[1][name] for name in MEASURED}
    return {
        name: percentile_interval(float(gap[0]), gap[1:], first.num_rows)
        for name, gap in gaps.items()
    }


def _resampled(
    table: pa.Table, groups: Ints, bins: int, samples: int, seed: int
) -> dict[str, Floats]:
    """Return (1 + B,) values of every metric: of the table itself, then of its resamples."""
    columns = _columns(table, bins)
    blocks = {name: values[:, None] for name, values in columns.means.items()}
    sums = resample_blocks(blocks | {"gaps": columns.gaps}, groups, samples, seed)
    size = sums["cases"][:, 0]
    means = {name: sums[name][:, 0] / size for name in columns.means}
    return means | {"ece": ece_of_sums(sums["gaps"], size)}


def _columns(validated: pa.Table, bins: int) -> _Columns:
    outcome = _outcomes(validated)
    means = case_metrics(outcome)
    kept: Sequence[str] = [name for name in MEASURED if name in means]
    bin_of_case = assign_bins(outcome.confidence, bins)
    gaps = gap_columns(outcome.confidence, outcome.correct, bin_of_case, bins)
    return _Columns({name: means[name] for name in kept}, gaps)


def _outcomes(validated: pa.Table) -> Outcomes:
    rank = validated["rank"].to_numpy(zero_copy_only=False).astype(np.float64)
    # The metrics of `MEASURED` need no lists, so the lists stay empty.
    empty_list = np.zeros((validated.num_rows, 1), dtype=np.bool_)
    return Outcomes(
        rank=np.where(np.isnan(rank), np.inf, rank),
        probability=validated["probability"].to_numpy().astype(np.float64),
        confidence=validated["confidence"].to_numpy().astype(np.float64),
        listed=empty_list,
        codes=empty_list.astype(np.int64) - 1,
        lenient=empty_list,
        has_probabilities=True,
    )
