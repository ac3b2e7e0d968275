"""Metrics on their way from a worker to the driver: each step once, in order."""

import time
from pathlib import Path

from mint_ray.runtime.metrics_stream import append_metrics, follow_metrics, read_metrics_lines


def test_followed_while_written_and_drained_at_the_end(tmp_path: Path) -> None:
    append_metrics(tmp_path, {"step": 1, "loss": 3.0})  # of an earlier start: recorded then
    seen: list[float] = []
    with follow_metrics(tmp_path, lambda row: seen.append(row["step"])):
        append_metrics(tmp_path, {"step": 2, "loss": 2.0})
        time.sleep(0.1)
        append_metrics(tmp_path, {"step": 3, "loss": 1.0})
    assert seen == [2, 3]


def test_a_repeated_step_counts_once_and_half_a_line_not_yet(tmp_path: Path) -> None:
    for loss in (3.0, 2.5):
        append_metrics(tmp_path, {"step": 1, "loss": loss})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2, "lo')
    assert read_metrics_lines(tmp_path) == [{"step": 1, "loss": 2.5}]


def test_half_a_line_of_a_lost_worker_does_not_spoil_the_file(tmp_path: Path) -> None:
    append_metrics(tmp_path, {"step": 1, "loss": 3.0})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2, "lo')
    for step in (2, 3):  # by the worker that continues
        append_metrics(tmp_path, {"step": step, "loss": 1.0})
    assert read_metrics_lines(tmp_path)[-1] == {"step": 3, "loss": 1.0}
