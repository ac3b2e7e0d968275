"""Tables in parquet files: whole or not at all, and where their row groups start."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.common.parquet import TableFile, group_starts

ROWS = pa.table({"n": list(range(7))})


def test_a_table_is_written_in_row_groups_that_start_where_said(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    with TableFile(file, ROWS.schema, 3) as table:
        table.add(ROWS)
        assert not file.exists()
    written = pq.ParquetFile(file)
    assert group_starts(written) == [0, 3, 6, 7]
    assert written.read().equals(ROWS)


def test_the_file_of_no_rows_has_no_row_groups(tmp_path: Path) -> None:
    with TableFile(tmp_path / "a.parquet", ROWS.schema, 3):
        pass
    assert group_starts(pq.ParquetFile(tmp_path / "a.parquet")) == [0]


def test_a_failure_in_the_middle_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(ROWS, file)
    with pytest.raises(RuntimeError), TableFile(file, ROWS.schema, 3) as table:  # noqa: PT012
        table.add(ROWS.slice(4))
        raise RuntimeError
    assert pq.read_table(file).equals(ROWS)
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    killed = TableFile(file, ROWS.schema, 3).__enter__()
    killed.add(ROWS)
    assert [left.suffix for left in tmp_path.iterdir()] == [".partial"]
    with TableFile(file, ROWS.schema, 3) as table:
        table.add(ROWS)
    assert list(tmp_path.iterdir()) == [file]
