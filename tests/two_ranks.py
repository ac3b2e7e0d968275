"""Two processes that stay for all tests, as the ranks of one process group.

A process that has imported torch, transformers and DeepSpeed has spent ten seconds on it.
"""

import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing import ProcessContext


class TwoRanks:
    """The two processes; they start when they are first needed, and again after a failure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # where the two find each other
        self._started = 0
        self._context: ProcessContext | None = None
        self._pipes: list[Connection] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function(*args)` in both processes; return what the first one returns."""
        if self._context is None:
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
        if self._context is not None:
            for process in self._context.processes:
                process.kill()
                process.join()
        self._context, self._pipes = None, []

    def _start(self) -> None:
        self._started += 1
        pairs = [mp.get_context("spawn").Pipe() for _ in range(2)]
        init = f"file://{self._folder}/{self._started}"
        self._context = mp.spawn(
            _serve, args=(init, [theirs for _, theirs in pairs]), nprocs=2, join=False, daemon=True
        )
        for _, theirs in pairs:
            theirs.close()
        self._pipes = [ours for ours, _ in pairs]


def _serve(rank: int, init: str, pipes: list[Connection]) -> None:
    for pipe in pipes[:rank] + pipes[rank + 1 :]:
        pipe.close()
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
