from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.errors import DataError
from mint_ray.students.data.pair_table import PairTable
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.text import Encoder
from mint_ray.tasks.prompts import answer_message
from tests.students.conftest import CHAT_TEMPLATE
from tests.students.pairs import NAMES, pair_row

WritePairs = Callable[[list[dict[str, Any]]], Path]


def make_maker(tokenizer: Any, max_prompt_length: int = 700) -> RowEncoder:
    return RowEncoder(Encoder(tokenizer, max_prompt_length, 1400), "pairs", {}, k=2)


@pytest.fixture
def maker(tokenizer: Any) -> RowEncoder:
    return make_maker(tokenizer)


def test_rows_of_the_training_split_are_read(write_pairs: WritePairs) -> None:
    table = PairTable(write_pairs([pair_row(0), pair_row(1, split="test"), pair_row(2)]))
    assert len(table) == 2
    assert table.row(1) == {key: pair_row(2)[key] for key in table.row(1)}


def test_the_order_of_files_does_not_matter(tmp_path: Path, maker: RowEncoder) -> None:
    digests = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        folder = tmp_path / str(order)
        folder.mkdir()
        for part, numbers in enumerate((order[:1], order[1:])):
            rows = pa.Table.from_pylist([pair_row(number) for number in numbers])
            pq.write_table(rows, folder / f"{part}.parquet")
        table = PairTable(folder)
        usable = table.scan(maker)
        ids = [table.row(row)["preference_id"] for (row,) in usable.examples]
        assert ids == [f"pair-00{number}" for number in range(4)]
        digests.append(usable.digest)
    assert digests[0] == digests[1]


def test_a_dataset_of_another_tool_needs_three_columns(
    write_pairs: WritePairs, maker: RowEncoder
) -> None:
    row = {key: pair_row(0)[key] for key in ("prompt", "chosen", "rejected")}
    table = PairTable(write_pairs([row]))
    assert table.scan(maker).examples == ((0,),)
    assert table.row(0)["preference_id"] == "row-0"


def test_rejected_sets_of_a_case_share_one_example(
    write_pairs: WritePairs, maker: RowEncoder
) -> None:
    other = answer_message([NAMES[7]])
    rows = [
        pair_row(0, preference_id="a#0"),
        pair_row(1),
        pair_row(0, preference_id="a#1", rejected=other),
        pair_row(0, preference_id="a#2", prompt=pair_row(2)["prompt"]),
    ]
    table = PairTable(write_pairs(rows))
    usable = table.scan(maker)
    assert usable.examples == ((0, 2), (3,), (1,))
    assert usable.rows == 4
    example = table.example(usable.examples[0], maker, number=0)
    assert (example.preference_pairs, example.nll_completions) == (((0, 1), (0, 2)), (0, 0))
    assert example.preference_ids == ("a#0", "a#1")
    assert (
        usable.lengths[0]
        == len(example)
        == len(example.prompt) + sum(map(len, example.completions))
    )


def test_labels_are_asked_for_where_they_are_needed(write_pairs: WritePairs) -> None:
    with pytest.raises(DataError, match="`label_id`"):
        PairTable(write_pairs([pair_row(0)]), "candidates")


def test_shortened_notes_are_counted(write_pairs: WritePairs, tokenizer: Any) -> None:
    table = PairTable(write_pairs([pair_row(0), pair_row(2)]))
    usable = table.scan(make_maker(tokenizer, max_prompt_length=260))
    assert usable.shortened == 1


def test_a_group_in_two_splits_is_refused(write_pairs: WritePairs) -> None:
    rows = [pair_row(0), pair_row(1, split="test", group_id="group-000")]
    with pytest.raises(DataError, match="group-000"):
        PairTable(write_pairs(rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "a", "chosen": "b", "rejected": "c"}], "list of role and content"),
        ([{"prompt": pair_row(0)["prompt"]}], "`chosen`"),
        ([pair_row(0, split="test")], "found none"),
    ],
)
def test_unusable_files_are_refused(
    write_pairs: WritePairs, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        PairTable(write_pairs(rows))


def test_damaged_files_are_refused(write_pairs: WritePairs, tmp_path: Path) -> None:
    good = write_pairs([pair_row(number) for number in range(50)]).read_bytes()
    flipped = good[:200] + bytes(byte ^ 255 for byte in good[200:900]) + good[900:]
    path = tmp_path / "damaged.parquet"
    for content in (b"PAR1 not really", b"", good[: len(good) // 2], flipped):
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            PairTable(path)
    with pytest.raises(DataError):
        PairTable(tmp_path / "absent")


def test_no_file_is_left_behind(
    write_pairs: WritePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    table = PairTable(write_pairs([pair_row(0)]))
    assert list(scratch.iterdir()) == []
    assert table.row(0)["case_id"] == "case-000"


def test_ids_may_be_numbers(maker: RowEncoder, tmp_path: Path) -> None:
    rows = [pair_row(number) | {"preference_id": number, "case_id": 7} for number in range(2)]
    rows[1]["chosen"] = []
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    pairs = PairTable(tmp_path / "pairs.parquet")
    usable = pairs.scan(maker)
    assert pairs.preference_id(0) == "0"
    pairs.write_rejected(usable.rejected, tmp_path / "rejected.parquet")
    assert pq.read_table(tmp_path / "rejected.parquet").to_pylist() == [
        {"case_id": "7", "source": "1", "reason": "empty_chosen"}
    ]


def test_a_row_that_is_not_utf8_is_rejected(maker: RowEncoder, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([pair_row(0), pair_row(1)])
    broken = pa.array([b"a note", b"a note \xff"]).view(pa.string())
    prompt = pa.StructArray.from_arrays([broken, pa.array(["user"] * 2)], ["content", "role"])
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), prompt)
    index = table.schema.get_field_index("prompt")
    pq.write_table(table.set_column(index, "prompt", lists), tmp_path / "pairs.parquet")
    pairs = PairTable(tmp_path / "pairs.parquet")
    usable = pairs.scan(maker)
    assert usable.counts == {"bad_messages": 1}
    pairs.write_rejected(usable.rejected, tmp_path / "rejected.parquet")


def test_messages_that_the_template_refuses_are_rejected(
    write_pairs: WritePairs, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = "{% if messages[0].role == 'tool' %}{{ raise_exception('role') }}{% endif %}"
    monkeypatch.setattr(tokenizer, "chat_template", known + CHAT_TEMPLATE)
    refused = pair_row(1, prompt=[{"role": "tool", "content": "text"}])
    usable = PairTable(write_pairs([pair_row(0), refused])).scan(make_maker(tokenizer))
    assert usable.counts == {"bad_messages": 1}
