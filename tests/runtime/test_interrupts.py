"""Ctrl-C during Ray Train and after Ray Tune, without a cluster."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from ray.train.torch import TorchTrainer
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from mint_ray.runtime import interrupts
from mint_ray.runtime.interrupts import InterruptibleTrainer, keeping_handler


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def test_a_handler_that_a_library_leaves_is_replaced_by_ours() -> None:
    with keeping_handler():
        signal.signal(signal.SIGINT, lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_ends_the_training_and_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Any] = []

    def fit(self: Any) -> None:
        """As Ray Train does in a driver's main thread; Ctrl-C comes while it waits."""
        self._register_sigint_handler("controller")
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TorchTrainer, "fit", fit)
    monkeypatch.setattr(interrupts.ray, "kill", killed.append)
    trainer = object.__new__(InterruptibleTrainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert killed == ["controller"]


def test_ray_train_still_registers_its_handler_where_ours_takes_its_place() -> None:
    assert issubclass(TorchTrainer, DataParallelTrainer)
    assert "_register_sigint_handler" in vars(DataParallelTrainer)
    names = DataParallelTrainer._initialize_and_run_controller.__code__.co_names
    assert "_register_sigint_handler" in names
