"""Predictions: ranked answers of systems, as rows of `predictions.parquet`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mint_ray.common.arrays import Ints
from mint_ray.common.files import replacing
from mint_ray.common.partial_answers import ALL_ANSWERED, is_answered
from mint_ray.errors import DataError

_CHUNK = 256  # cases ranked at once: bounds memory on catalogues of many thousand labels

PREDICTION_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),  # 1 is the best
        pa.field("label_id", pa.string()),  # null where nothing in the catalogue matches
        pa.field("text", pa.string(), nullable=False),  # the name as it was answered
        pa.field("probability", pa.float64()),  # null where the system has none (generation)
    ]
)


def validate_predictions(table: pa.Table) -> pa.Table:
    """Check predictions, and return them with the columns and types of `PREDICTION_SCHEMA`.

    Raises:
        DataError: a column is missing or has another type, or rows are unusable. Its `counts`
            has the numbers of `missing_value`, `rank_below_1`, `probability_out_of_range` and
            `duplicate_rank`.
    """
    missing = [name for name in PREDICTION_SCHEMA.names if name not in table.column_names]
    if missing:
        raise DataError(
            f"predictions lack the columns {', '.join(missing)}; "
            f"expected {', '.join(PREDICTION_SCHEMA.names)}"
        )
    required = [field.name for field in PREDICTION_SCHEMA if not field.nullable]
    counts = {"missing_value": sum(table[name].null_count for name in required)}
    if not counts["missing_value"]:
        try:
            table = table.select(PREDICTION_SCHEMA.names).cast(PREDICTION_SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise DataError(f"predictions have columns of the wrong type: {error}") from error
        counts |= _count_bad_rows(table)
    bad_rows = {reason: count for reason, count in counts.items() if count}
    if bad_rows:
        listing = ", ".join(f"{reason}: {count}" for reason, count in bad_rows.items())
        raise DataError(
            f"{table.num_rows} predictions have unusable rows ({listing}); expected one row per "
            "case, system and rank, ranks from 1, probabilities between 0 and 1",
            bad_rows,
        )
    return table


def _count_bad_rows(table: pa.Table) -> dict[str, int]:
    probability = table["probability"].combine_chunks().to_numpy(zero_copy_only=False)
    is_given = table["probability"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    # A softmax in float32 may exceed 1 by an ulp; NaN fails both comparisons.
    in_range = (probability >= 0) & (probability <= 1 + 1e-6)
    keys = table.group_by(["case_id", "system", "rank"]).aggregate([([], "count_all")])
    return {
        "rank_below_1": int(pc.sum(pc.less(table["rank"], 1)).as_py() or 0),
        "probability_out_of_range": int((is_given & ~in_range).sum()),
        "duplicate_rank": table.num_rows - keys.num_rows,
    }


def write_predictions(path: Path, table: pa.Table) -> None:
    """Validate and write one parquet file; it appears whole or not at all.

    Columns beyond the schema's are kept.

    Raises:
        DataError: the table is unusable; see `validate_predictions`.
    """
    checked = validate_predictions(table)
    for name in table.column_names:
        if name not in checked.column_names:
            checked = checked.append_column(name, table[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        pq.write_table(checked, partial, compression="zstd")


def read_predictions(path: Path) -> pa.Table:
    """Read and validate a parquet file of predictions, or all parquet files of a folder.

    Args:
        path: what `mint predict` or the evaluate stage wrote.

    Raises:
        DataError: there is no file, it is damaged, or it does not hold predictions (see
            `validate_predictions`).
    """
    if not path.exists():
        raise DataError(f"predictions not found: {path} (run the evaluate stage first)")
    if path.is_dir() and not any(path.rglob("*.parquet")):
        raise DataError(f"{path}: expected parquet files, found none")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file or folder: {error}") from error
    return validate_predictions(table)


def rank_scores(
    system: str,
    case_ids: Sequence[str],
    log_probabilities: NDArray[np.floating],
    label_ids: Sequence[str],
    names: Sequence[str],
    known: Sequence[int | None],
    top_k: int,
    floor: float = ALL_ANSWERED,
) -> pa.Table:
    """Return the predictions of a system that scores every label.

    Each case gets its `top_k` best labels and, where its known answer is not among them, one
    more row with that answer's true rank. Ties keep the order of the labels, but a known answer
    comes after the labels that tie with it: the order of the catalogue never gives it a better
    rank. Labels that a system does not answer for are not listed, and a known answer among them
    gets the worst rank.

    Args:
        system: name of the system.
        case_ids: (n,).
        log_probabilities: (n, n_labels), normalised over the labels. A row with a NaN is a case
            that could not be scored: it gets no predictions, and so counts as a miss.
        label_ids: (n_labels,).
        names: (n_labels,) names to answer with.
        known: (n,) index of each case's known answer, None where the catalogue lacks it.
        top_k: number of labels to list.
        floor: log-probability of the labels that the system does not answer for.

    Returns:
        Rows of `PREDICTION_SCHEMA`.
    """
    answer = np.array([-1 if index is None else index for index in known], dtype=np.int64)
    k = min(top_k, len(label_ids))
    chunks = [
        _rank_chunk(
            log_probabilities[start : start + _CHUNK], answer[start : start + _CHUNK], k, floor
        )
        for start in range(0, max(1, len(case_ids)), _CHUNK)
    ]
    case = np.concatenate([chunk[0] + _CHUNK * i for i, chunk in enumerate(chunks)])
    label = np.concatenate([chunk[1] for chunk in chunks])
    columns = {
        "case_id": np.asarray(case_ids, dtype=object)[case],
        "system": pa.repeat(system, len(case)),
        "rank": np.concatenate([chunk[2] for chunk in chunks]).astype(np.int32),
        "label_id": np.asarray(label_ids, dtype=object)[label],
        "text": np.asarray(names, dtype=object)[label],
        "probability": np.concatenate([chunk[3] for chunk in chunks]),
    }
    return pa.table(columns, schema=PREDICTION_SCHEMA)


def _rank_chunk(
    log_probabilities: NDArray[np.floating], answer: NDArray[np.int64], k: int, floor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return row, label, rank and probability of each prediction for one chunk of cases."""
    rows = np.flatnonzero(~np.isnan(log_probabilities).any(axis=1))
    answered = is_answered(log_probabilities[rows], floor)
    scores = np.asarray(log_probabilities, dtype=np.float64)[rows]
    order = _order_ties_against_known(scores, answer[rows])
    # Position of each label in the order of its row: the inverse permutation of `order`.
    label_positions = np.empty_like(order)
    np.put_along_axis(label_positions, order, np.arange(order.shape[1])[None, :], axis=1)
    position = np.arange(len(rows))
    known_positions = label_positions[position, answer[rows]]
    is_reached = answered[position, answer[rows]]
    outside = np.flatnonzero((answer[rows] >= 0) & ((known_positions >= k) | ~is_reached))
    # The worst rank is outside the list, also where the whole catalogue is listed.
    worst = np.where(is_reached, known_positions, max(order.shape[1] - 1, k))[outside]
    row, listed = np.nonzero(np.take_along_axis(answered, order[:, :k], axis=1))
    label = np.concatenate([order[row, listed], answer[rows][outside]])
    row = np.concatenate([row, outside])
    probability = np.minimum(np.exp(scores[row, label]), 1.0)
    return rows[row], label, np.concatenate([listed, worst]) + 1, probability


def _order_ties_against_known(scores: NDArray[np.float64], answer: NDArray[np.int64]) -> Ints:
    """Return the labels of each row, best first, the known answer behind those that tie with it."""
    is_known = np.arange(scores.shape[1]) == answer[:, None]
    order: Ints = np.lexsort((is_known, -scores), axis=1)
    return order


def majority_predictions(
    counts: Mapping[str, int], cases: pa.Table, top_k: int, names: Mapping[str, str]
) -> pa.Table:
    """Return the predictions of a system that always answers the commonest training labels.

    A known answer without a training case has no row, and so counts as a miss.

    Args:
        counts: training cases per label id; probability = share of the training cases.
        cases: at least `case_id` and `label_id`.
        top_k: number of labels to list.
        names: label id to the name to answer with.

    Raises:
        DataError: there is no training case.
    """
    labels = sorted((label for label in counts if counts[label] > 0), key=lambda x: (-counts[x], x))
    if not labels:
        raise DataError("the majority system needs at least one training case, found none")
    share = np.array([counts[label] for label in labels], dtype=np.float64)
    index = {label: position for position, label in enumerate(labels)}
    case_ids = cases["case_id"].to_pylist()
    log_share = np.log(share / share.sum())
    return rank_scores(
        "majority",
        case_ids,
        np.broadcast_to(log_share, (len(case_ids), len(labels))),
        labels,
        [names.get(label, label) for label in labels],
        [index.get(label) for label in cases["label_id"].to_pylist()],
        top_k,
    )
