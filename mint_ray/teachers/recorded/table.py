"""Table of recorded scores: for some labels of each case, a number that is higher if better."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.arrays import Floats, Ints, Ints32

SCORES_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.int32()), nullable=False),  # catalogue indices, each once
        pa.field("scores", pa.list_(pa.float64()), nullable=False),  # finite; higher is better
    ]
)


class RecordedScores:
    """Scores of some labels for each of some cases, as an Arrow table of `SCORES_SCHEMA`."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table.combine_chunks()
        self._rows = {name: row for row, name in enumerate(table["case_id"].to_pylist())}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, case_id: str) -> bool:
        return case_id in self._rows

    def of(self, case_id: str) -> tuple[Ints32, Floats]:
        """Return the labels and scores of one case, both (m,).

        Raises:
            KeyError: there are no scores of the case.
        """
        row = self._rows[case_id]
        labels, scores = (self._table[name][row].values for name in ("labels", "scores"))
        return labels.to_numpy(), scores.to_numpy()

    @property
    def spread(self) -> float:
        """Standard deviation of all scores; 1 where there are none or all are alike."""
        scores = self._table["scores"].combine_chunks().flatten().to_numpy()
        deviation = float(scores.std()) if len(scores) else 0.0
        return deviation if deviation > 0 else 1.0

    def write(self, path: Path) -> None:
        """Write one parquet file, from which `read` makes equal scores."""
        pq.write_table(self._table, path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> "RecordedScores":
        """Read a file of `write`."""
        return cls(pq.read_table(path, schema=SCORES_SCHEMA))

    @classmethod
    def of_rows(
        cls, case_ids: Sequence[str], cases: Ints, labels: Ints, scores: Floats
    ) -> "RecordedScores":
        """Gather the scores of single labels by case; a label that is there twice keeps its best.

        Args:
            case_ids: ids of the cases.
            cases: (m,) positions in `case_ids`.
            labels: (m,) catalogue indices.
            scores: (m,) finite numbers, higher if better.
        """
        order = np.lexsort((-scores, labels, cases))
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (np.diff(cases[order]) != 0) | (np.diff(labels[order]) != 0)
        best = order[is_first]
        cases, labels, scores = cases[best], labels[best], scores[best]
        present, starts = np.unique(cases, return_index=True)
        offsets = pa.array([*starts.tolist(), len(cases)], pa.int32())
        columns = [
            pa.array([case_ids[position] for position in present.tolist()], pa.string()),
            pa.ListArray.from_arrays(offsets, pa.array(labels.astype(np.int32))),
            pa.ListArray.from_arrays(offsets, pa.array(scores.astype(np.float64))),
        ]
        return cls(pa.table(columns, schema=SCORES_SCHEMA))

    @classmethod
    def of_lists(
        cls, lists: Iterable[tuple[str, Sequence[int], Sequence[float]]]
    ) -> "RecordedScores":
        """Gather (case id, labels, scores) of whole cases; a case without a label is left out."""
        rows = [
            (name, label, score)
            for name, labels, scores in lists
            for label, score in zip(labels, scores, strict=True)
        ]
        names = list(dict.fromkeys(name for name, _, _ in rows))
        position = {name: index for index, name in enumerate(names)}
        return cls.of_rows(
            names,
            np.array([position[name] for name, _, _ in rows], dtype=np.int64),
            np.array([label for _, label, _ in rows], dtype=np.int64),
            np.array([score for _, _, score in rows], dtype=np.float64),
        )
