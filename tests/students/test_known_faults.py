"""Faults that are known and not mended yet; take the mark away with the fault."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.students.checkpoints import keep_checkpoints, latest_good
from mint_ray.students.encoding import Encoder
from mint_ray.students.pairs import PairTable
from mint_ray.students.trainer import TrainingSummary, train
from tests.students.conftest import CHAT_TEMPLATE, pair_row, student_config, training_config

WritePairs = Callable[[list[dict[str, Any]]], Path]


@pytest.mark.xfail(strict=True, raises=UnicodeDecodeError)
def test_a_row_that_is_not_utf8_is_rejected(tokenizer: Any, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([pair_row(0), pair_row(1)])
    broken = pa.array([b"a note", b"a note \xff"]).view(pa.string())
    prompt = pa.StructArray.from_arrays([broken, pa.array(["user"] * 2)], ["content", "role"])
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), prompt)
    index = table.schema.get_field_index("prompt")
    pq.write_table(table.set_column(index, "prompt", lists), tmp_path / "pairs.parquet")
    pairs = PairTable(tmp_path / "pairs.parquet")
    usable = pairs.scan(Encoder(tokenizer, 700, 1400))
    assert usable.counts == {"bad_messages": 1}
    pairs.write_rejected(usable.rejected, tmp_path / "rejected.parquet")


@pytest.mark.xfail(strict=True)
def test_messages_that_the_template_refuses_are_rejected(
    write_pairs: WritePairs, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = "{% if messages[0].role == 'tool' %}{{ raise_exception('role') }}{% endif %}"
    monkeypatch.setattr(tokenizer, "chat_template", known + CHAT_TEMPLATE)
    refused = pair_row(1, prompt=[{"role": "tool", "content": "text"}])
    usable = PairTable(write_pairs([pair_row(0), refused])).scan(Encoder(tokenizer, 700, 1400))
    assert usable.counts == {"bad_messages": 1}


@pytest.mark.xfail(strict=True)
def test_a_run_resumed_after_its_last_step_has_metrics(
    write_pairs: WritePairs, base_folder: Path, tmp_path: Path
) -> None:
    """As after a kill between the last checkpoint and the finished student."""
    pairs = write_pairs([pair_row(number) for number in range(8)])

    def run(resume_from: Path | None) -> TrainingSummary:
        return train(
            pairs,
            tmp_path / "out",
            student=student_config(base_folder),
            training=training_config(),
            k=2,
            seed=0,
            report=keep_checkpoints(tmp_path / "checkpoints"),
            resume_from=resume_from,
        )

    metrics = run(None).metrics
    assert run(latest_good(tmp_path / "checkpoints")).metrics == metrics
