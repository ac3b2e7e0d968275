import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mint_ray.tracking.queue import RecordQueue
from mint_ray.tracking.records import Record


def record(number: int) -> Record:
    return {"kind": "metrics", "values": {"a": number}, "step": number, "time": number}


def drained(queue: RecordQueue) -> list[Record]:
    sent: list[Record] = []
    queue.drain(sent.append)
    return sent


@pytest.fixture
def queue(tmp_path: Path) -> RecordQueue:
    return RecordQueue(tmp_path / "step" / "queue.jsonl")


def test_records_leave_in_order_and_once(queue: RecordQueue) -> None:
    assert drained(queue) == []
    for number in range(3):
        assert queue.append(record(number))
    assert len(queue) == 3
    assert drained(queue) == [record(0), record(1), record(2)]
    assert len(queue) == 0
    assert drained(queue) == []


def test_an_error_keeps_the_record_and_those_after_it(queue: RecordQueue) -> None:
    for number in range(3):
        queue.append(record(number))

    def send(item: Record) -> None:
        if item["step"] == 1:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        queue.drain(send)
    queue.append(record(3))
    assert drained(queue) == [record(1), record(2), record(3)]


def test_not_a_number_survives_the_file(queue: RecordQueue) -> None:
    queue.append({"kind": "metrics", "values": {"a": float("nan"), "b": float("inf")}})
    values = drained(queue)[0]["values"]
    assert values["a"] != values["a"]
    assert values["b"] == float("inf")


def test_a_full_queue_takes_only_a_status(tmp_path: Path) -> None:
    queue = RecordQueue(tmp_path / "queue.jsonl", max_bytes=150)
    assert queue.append(record(0))
    assert not all([queue.append(record(1)), queue.append(record(2))])
    assert queue.append({"kind": "status", "status": "FINISHED", "time": 1})
    assert drained(queue)[-1]["kind"] == "status"
    assert queue.append(record(3))


def test_half_a_line_is_dropped_and_logged(
    queue: RecordQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.append(record(0))
    with queue.path.open("ab") as file:
        file.write(b'{"kind": "met')
    queue.append(record(1))
    with caplog.at_level(logging.WARNING):
        assert drained(queue) == [record(0), record(1)]
    assert "damaged queue line" in caplog.text
    assert "met" not in caplog.text


def _append_many(path: Path, start: int) -> None:
    queue = RecordQueue(path)
    for number in range(start, start + 100):
        queue.append(record(number))


def test_two_processes_share_the_file(queue: RecordQueue) -> None:
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_append_many, args=(queue.path, start)) for start in (0, 1000)
    ]
    for worker in workers:
        worker.start()
    sent: list[Record] = []

    def send_slowly(item: Record) -> None:
        time.sleep(0.001)  # long enough for an append to fall between reading and truncating
        sent.append(item)

    while any(worker.is_alive() for worker in workers):
        queue.drain(send_slowly)
    for worker in workers:
        worker.join()
    queue.drain(sent.append)
    steps = [item["step"] for item in sent]
    assert sorted(steps) == [*range(100), *range(1000, 1100)]
    assert [s for s in steps if s < 1000] == list(range(100))


def test_nobody_waits_for_a_slow_store(queue: RecordQueue) -> None:
    queue.append(record(0))
    sent: list[Record] = []

    def send(item: Record) -> None:
        if item["step"] == 0:  # in the middle of sending: others append, and do not send
            assert queue.append(record(1))
            assert RecordQueue(queue.path).drain(sent.append) == 2
        sent.append(item)

    assert queue.drain(send) == 0
    assert sent == [record(0), record(1)]


_STEPS = ("open", "replace", "unlink", "write_bytes", "read_bytes")


def _drain_and_die(path: Path, sent: Path, at: int) -> None:
    """Append a record and drain; die without a farewell at one of the operations on files."""
    left = iter(range(at, -1, -1))

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Path, *args: Any, **kwargs: Any) -> Any:
            if self.parent == path.parent and not next(left, 1):
                os._exit(9)
            return method(self, *args, **kwargs)

        return call

    for name in _STEPS:
        setattr(Path, name, dying(getattr(Path, name)))

    def send(item: Record) -> None:
        with open(sent, "a", encoding="utf-8") as file:
            file.write(f"{item['step']}\n")
        if item["step"] == 2:
            raise ConnectionError

    queue = RecordQueue(path)
    queue.append(record(3))
    with suppress(ConnectionError):
        queue.drain(send)
    os._exit(0)


def test_a_kill_at_any_point_loses_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for at in range(100):
        path, sent = tmp_path / str(at) / "queue.jsonl", tmp_path / f"sent-{at}"
        queue = RecordQueue(path)
        for number in range(3):
            queue.append(record(number))
        process = context.Process(target=_drain_and_die, args=(path, sent, at))
        process.start()
        process.join()
        before = [int(step) for step in sent.read_text().split()] if sent.exists() else []
        after = [item["step"] for item in drained(queue)]
        assert {0, 1, 2} <= {*before, *after}, at
        assert after == sorted(after)
        assert 2 in after  # the store never took it
        if process.exitcode == 0:
            assert at > 5
            assert after == [2, 3]
            return
    pytest.fail("the process never came to its end")


def test_a_record_after_a_torn_one_is_kept(queue: RecordQueue) -> None:
    queue.append(record(0))
    with queue.path.open("rb+") as file:
        file.truncate(queue.path.stat().st_size - 4)
    queue.append(record(1))
    assert drained(queue) == [record(1)]
