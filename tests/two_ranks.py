"""Two processes that stay for all tests, as the ranks of one process group.

A process that has imported torch, transformers and DeepSpeed has spent ten seconds on it. The
second one is therefore a copy of the first.
"""

import importlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

IMPORTED = (
    "accelerate",
    "deepspeed.runtime.zero.muon.muon_optimizer",
    "mint_ray.students.training.trainer",
    "tests.students.workers",
)
"""What trainings need; it imports torch, transformers and peft too."""


class TwoRanks:
    """The two processes; they start when they are first needed, and again after a failure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # where the two find each other
        self._started = 0
        self._pipes: list[Connection] = []
        self._ids: list[int] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function(*args)` in both processes; return what the first one returns."""
        if not self._pipes:
            self._start()
        for pipe in self._pipes:
            pipe.send((function, args, dict(os.environ)))
        found: dict[Connection, Any] = {}
        while len(found) < len(self._pipes):
            for pipe in wait([pipe for pipe in self._pipes if pipe not in found]):
                try:
                    found[pipe], error = pipe.recv()
                except EOFError:
                    error = "the process has ended"
                if error:
                    self.stop()  # the other one may wait for this one for ever
                    pytest.fail(error)
        return found[self._pipes[0]]

    def stop(self) -> None:
        """End both processes."""
        for process_id in self._ids:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        self._pipes, self._ids = [], []

    def _start(self) -> None:
        self._started += 1
        context = multiprocessing.get_context("spawn")
        pairs = [context.Pipe() for _ in range(2)]
        init = f"file://{self._folder}/{self._started}"
        ends = [theirs for _, theirs in pairs]
        context.Process(target=_serve_both, args=(init, ends), daemon=True).start()
        for theirs in ends:
            theirs.close()
        self._pipes = [ours for ours, _ in pairs]
        self._ids = [pipe.recv() for pipe in self._pipes]


def _serve_both(init: str, pipes: list[Connection]) -> None:
    """Become the first of the two, after starting the second."""
    for module in IMPORTED:
        importlib.import_module(module)
    _serve(0 if os.fork() else 1, init, pipes)


def _serve(rank: int, init: str, pipes: list[Connection]) -> None:
    pipes[1 - rank].close()
    pipes[rank].send(os.getpid())
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    linear = torch.nn.functional.linear
    while True:
        torch.nn.functional.linear = linear  # ZeRO-3 leaves one of its own there
        try:
            function, args, environment = pipes[rank].recv()
        except EOFError:  # the tests are over
            return
        os.environ.update(environment)
        try:
            pipes[rank].send((function(*args), ""))
        except Exception:
            pipes[rank].send((None, traceback.format_exc()))
