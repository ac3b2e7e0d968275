"""A torn line costs itself, never the lines around it."""

from pathlib import Path
from typing import Any

from mint_ray.common.json_lines import append_line, parse_line, read_lines


def append(file: Path, row: dict[str, Any]) -> None:
    with file.open("ab+") as stream:
        append_line(stream, row)


def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert read_lines(file) == []
    for step in range(3):
        append(file, {"step": step})
    assert read_lines(file) == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_a_line_that_has_not_ended_is_not_read_even_where_it_is_json(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    append(file, {"step": 0})
    with file.open("ab") as stream:
        stream.write(b'{"step": 1}')
    assert read_lines(file) == [{"step": 0}]


def test_a_torn_line_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    append(file, {"step": 0})
    with file.open("ab") as stream:
        stream.write(b'{"step": 1, "lo')
    append(file, {"step": 2})
    assert read_lines(file) == [{"step": 0}, {"step": 2}]


def test_what_is_no_object_is_no_row() -> None:
    assert parse_line(b'{"a": 1}\n') == {"a": 1}
    assert parse_line(b"12\n") is None
    assert parse_line(b"\xff\n") is None
