"""Faults that are known and not mended yet; take the mark away with the fault."""

import json
from pathlib import Path

import pytest

from mint_ray.stages.metrics_file import append_metrics, read_metrics_lines


@pytest.mark.xfail(strict=True, raises=json.JSONDecodeError)
def test_half_a_line_of_a_lost_worker_does_not_spoil_the_file(tmp_path: Path) -> None:
    append_metrics(tmp_path, {"step": 1, "loss": 3.0})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2, "lo')
    for step in (2, 3):  # by the worker that continues
        append_metrics(tmp_path, {"step": step, "loss": 1.0})
    assert read_metrics_lines(tmp_path)[-1] == {"step": 3, "loss": 1.0}
