"""Tables of scores: one table with a column of case ids, or a PhEval result folder.

PhEval (Bridges et al., 2025, BMC Bioinformatics 26:87) writes one table per phenopacket, named
after its file. Where a program did not find the known answer, PhEval adds it with rank 0. These
rows are left out: they would tell the answer.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.common.arrays import Floats
from mint_ray.common.tables.files import is_table_file, read_table_file
from mint_ray.config.teacher import ScoresConfig
from mint_ray.errors import DataError

PHEVAL_FOLDER = "pheval_disease_results"
_PHEVAL_ENDING = re.compile(r"-(?:pheval_)?disease_result\.(?:parquet|tsv)(?:\.gz)?$")
_PHEVAL_COLUMNS = {"label_column": "disease_identifier", "name_column": "disease_name"}


@dataclass(frozen=True)
class ScoreRows:
    """Rows of a table of scores, in its order.

    Attributes:
        cases: (m,) ids of the cases; of a PhEval folder the names of their files, without endings.
        labels: (m,) ids of the labels; null where there is none.
        names: (m,) names of the labels; null where there is none.
        scores: (m,) numbers, NaN where a row has none.
        of_files: whether `cases` are names of files.
        counts: `lines_left_out` of tables of text, `answers_added_by_pheval`.
    """

    cases: pa.Array
    labels: pa.Array
    names: pa.Array
    scores: Floats
    of_files: bool
    counts: Counter[str]


def read_scores(path: Path, config: ScoresConfig) -> ScoreRows:
    """Read a table of scores or a PhEval result folder.

    Raises:
        DataError: there is no table, or a column is missing.
    """
    folder = path / PHEVAL_FOLDER if (path / PHEVAL_FOLDER).is_dir() else path
    files = _pheval_files(folder)
    if files:
        return _joined([_read_pheval(file, config) for file in files])
    if path.is_dir() and not any(path.rglob("*.parquet")):
        raise DataError(
            f"{path}: expected a PhEval result folder with {PHEVAL_FOLDER}/"
            "*-disease_result.parquet or .tsv, or a parquet table, found neither"
        )
    table, left_out = read_table_file(path)
    return _rows(path, table, config, None, Counter(lines_left_out=left_out))


def _pheval_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if _PHEVAL_ENDING.search(f.name) and is_table_file(f))


def _read_pheval(file: Path, config: ScoresConfig) -> ScoreRows:
    table, left_out = read_table_file(file)
    usual = ScoresConfig()
    renamed = {
        name: column
        for name, column in _PHEVAL_COLUMNS.items()
        if getattr(config, name) == getattr(usual, name)
    }
    counts = Counter(lines_left_out=left_out)
    if "rank" in table.column_names:
        is_added = pc.fill_null(pc.equal(_numbers(table["rank"]), 0.0), False)
        counts["answers_added_by_pheval"] = pc.sum(is_added).as_py() or 0
        table = table.filter(pc.invert(is_added))
    case = _PHEVAL_ENDING.sub("", file.name)
    return _rows(file, table, config.model_copy(update=renamed), case, counts)


def _rows(
    file: Path, table: pa.Table, config: ScoresConfig, case: str | None, counts: Counter[str]
) -> ScoreRows:
    """Return the rows of one table; all are of `case`, where one is given."""
    wanted = [config.score_column] if case else [config.case_column, config.score_column]
    missing = [name for name in wanted if _column(table, name) is None]
    labels, names = _column(table, config.label_column), _column(table, config.name_column)
    if labels is None and names is None:
        missing.append(f"{config.label_column} or {config.name_column}")
    if missing:
        raise DataError(
            f"{file}: expected the columns {', '.join(missing)}, found "
            f"{', '.join(table.column_names)}; name them in teacher.scores"
        )
    scores = _column(table, config.score_column)
    n = table.num_rows
    return ScoreRows(
        cases=_texts(_column(table, config.case_column), n)
        if case is None
        else pa.array([case] * n, pa.string()),
        labels=_texts(labels, n),
        names=_texts(names, n),
        scores=_numbers(scores).to_numpy(zero_copy_only=False).astype(np.float64),
        of_files=case is not None,
        counts=counts,
    )


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    """Return the column of a name, which a table of text may write in capitals."""
    for spelling in (name, name.strip().lower()):
        if spelling in table.column_names:
            return table[spelling]
    return None


def _texts(column: pa.ChunkedArray | None, n: int) -> pa.Array:
    """Return a column as trimmed text, whose empty cells are null; all null if it is absent."""
    if column is None:
        return pa.nulls(n, pa.string())
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text).combine_chunks()


def _numbers(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as float64; text that is no number becomes null."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return pc.cast(column, pa.float64()).combine_chunks()
    return pa.array([_number(text) for text in column.to_pylist()], pa.float64())


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _joined(parts: list[ScoreRows]) -> ScoreRows:
    return ScoreRows(
        cases=pa.concat_arrays([part.cases for part in parts]),
        labels=pa.concat_arrays([part.labels for part in parts]),
        names=pa.concat_arrays([part.names for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        of_files=parts[0].of_files,
        counts=sum((part.counts for part in parts), Counter[str]()),
    )
