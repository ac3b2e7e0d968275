"""What a replica does beside its model's work."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray import serve

from mint_ray.errors import ServingError
from mint_ray.serving.api.requests import DiagnoseRequest, Options
from mint_ray.serving.deploy import replica as module
from mint_ray.serving.deploy.replica import StudentReplica


class Busy:
    """A predictor whose batch ends when the test says so."""

    reader = None

    def __init__(self) -> None:
        self.began, self.end = threading.Event(), threading.Event()
        self.checks = 0

    def check(self) -> None:
        self.checks += 1

    def work(self) -> None:
        self.began.set()
        assert self.end.wait(20)


def replica_of(predictor: Any) -> Any:
    replica = StudentReplica.func_or_class()
    replica._main = SimpleNamespace(predictor=predictor)
    return replica


def test_a_health_check_does_not_wait_behind_work(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Busy()

    async def run() -> None:
        replica = replica_of(predictor)
        working = asyncio.create_task(replica._run(predictor.work))
        await asyncio.to_thread(predictor.began.wait, 20)
        try:
            await asyncio.wait_for(replica.check_health(), 5)
            assert predictor.checks == 0
            monkeypatch.setattr(module, "STUCK_SECONDS", 0.0)
            with pytest.raises(ServingError, match="expected a batch within"):
                await asyncio.wait_for(replica.check_health(), 5)
        finally:
            predictor.end.set()
            await working
        await asyncio.wait_for(replica.check_health(), 5)
        assert predictor.checks == 1

    asyncio.run(run())


def test_a_caller_who_hangs_up_does_not_throw_away_a_model_that_is_being_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, end, loaded = threading.Event(), threading.Event(), []

    def load(_: Any, student: str, *__: Any) -> Any:
        loaded.append(student)
        began.set()
        assert end.wait(20)
        return SimpleNamespace(predictor=student)

    async def announce(self: Any, name: str) -> str:
        return name

    monkeypatch.setattr(module, "load_predictor", load)
    monkeypatch.setattr(StudentReplica.func_or_class, "_announce", announce)
    first = SimpleNamespace(model=SimpleNamespace(name="first"))

    async def run() -> Any:
        replica = replica_of(first)
        replica._config = {"more_models": {"second": "folder"}}
        hanging_up = asyncio.create_task(replica._predictor_named("second"))
        await asyncio.to_thread(began.wait, 20)
        hanging_up.cancel()
        asked_again = asyncio.create_task(replica._predictor_named("second"))
        await asyncio.sleep(0.1)
        end.set()
        return await asyncio.wait_for(asked_again, 20)

    assert asyncio.run(run()) == "folder"
    assert loaded == ["folder"]


def test_a_note_is_read_beside_the_event_loop_and_a_short_one_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Reading(Busy):
        def read_patient(self, request: DiagnoseRequest) -> str:
            if request.note == "long":
                self.work()
            return threading.current_thread().name

    async def answer(self: Any, predictor: Any, request_id: str, asked: Any) -> Any:
        return asked

    monkeypatch.setattr(StudentReplica.func_or_class, "_answer", answer)
    predictor = Reading()
    replica = replica_of(predictor)

    async def run() -> list[str]:
        long = asyncio.create_task(replica.diagnose("a", DiagnoseRequest(note="long")))
        await asyncio.to_thread(predictor.began.wait, 20)
        try:
            short = await asyncio.wait_for(replica.diagnose("b", DiagnoseRequest(note="short")), 5)
        finally:
            predictor.end.set()
        return [await long, short]

    assert [name.split("_")[0] for name in asyncio.run(run())] == ["read", "read"]


def test_an_image_is_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    class Reading(Busy):
        def read_image(self, image: bytes, options: Any) -> bytes:
            threads.append(threading.current_thread().name)
            return image

    async def answer(self: Any, predictor: Any, request_id: str, asked: Any) -> Any:
        return asked

    monkeypatch.setattr(StudentReplica.func_or_class, "_answer", answer)
    replica = replica_of(Reading())
    assert asyncio.run(replica.tissue("r", b"image", Options(explain=True))) == b"image"
    assert threads[0].startswith("decode")


def test_requests_that_come_while_a_batch_is_computed_wait_for_those_that_follow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = SimpleNamespace(_deployment_config=SimpleNamespace(max_ongoing_requests=16))
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: deployed)
    sizes: list[int] = []

    class Answering(Busy):
        def answer(self, requests: dict[str, str]) -> list[Any]:
            sizes.append(len(requests))
            if "first" in requests:
                self.work()
            return [SimpleNamespace(request_id=name) for name in requests]

    # A queue of its own: that of the class, once used, keeps Ray from deploying the class.
    replica_class = StudentReplica.func_or_class
    batched = serve.batch(max_batch_size=3, batch_wait_timeout_s=1.0)
    monkeypatch.setattr(replica_class, "_batched", batched(replica_class._batched.__wrapped__))
    predictor = Answering()
    replica = replica_of(predictor)

    async def ask(name: str) -> str:
        return str((await replica._answer(predictor, name, "note")).request_id)

    async def run() -> list[str]:
        first = asyncio.create_task(ask("first"))
        await asyncio.to_thread(predictor.began.wait, 20)
        meanwhile = [asyncio.create_task(ask(name)) for name in ("second", "third")]
        await asyncio.sleep(1.2)  # longer than a batch waits
        predictor.end.set()
        return [await first, await ask("fourth"), *[await task for task in meanwhile]]

    assert asyncio.run(run()) == ["first", "fourth", "second", "third"]
    assert sizes == [1, 3]


def test_batches_alone_are_computed_with_the_threads_of_the_settings() -> None:
    before = torch.get_num_threads()
    try:
        replica = StudentReplica.func_or_class(2)
        others = (replica._load, replica._decode, replica._read)
        assert [pool.submit(torch.get_num_threads).result() for pool in others] == [1, 1, 1]
        assert asyncio.run(replica._run(torch.get_num_threads)) == 2
        assert [pool.submit(torch.get_num_threads).result() for pool in others] == [1, 1, 1]
    finally:
        torch.set_num_threads(before)
