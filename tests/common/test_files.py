"""Files are written whole or not at all."""

import json
from pathlib import Path

import pytest

from mint_ray.common.files import read_json, remove_partials, replacing, write_json


def test_replacing_shows_the_new_file_only_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with replacing(file) as partial:
        partial.write_text("new")
        assert partial.parent == tmp_path
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_in_the_middle_leaves_the_old_file_alone(
    tmp_path: Path, error: type[BaseException]
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(error), replacing(file) as partial:  # noqa: PT012
        partial.write_text("half")
        raise error
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_two_writers_of_one_file_do_not_share_a_partial_one(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    with replacing(file) as first, replacing(file) as second:
        first.write_text("first")
        second.write_text("second")
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    file, other = tmp_path / "a.txt", tmp_path / "b.txt"
    file.write_text("kept")
    writer, writer_of_other = replacing(file), replacing(other)
    writer.__enter__().write_text("half")
    left = writer_of_other.__enter__()
    left.write_text("half")
    remove_partials(file)
    assert sorted(tmp_path.iterdir()) == sorted([left, file])


def test_json_that_cannot_be_written_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"a": 1, "b": [2]})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert read_json(file) == {"a": 1, "b": [2]}
    assert file.read_text() == json.dumps({"a": 1, "b": [2]}, indent=1) + "\n"
    assert list(tmp_path.iterdir()) == [file]
