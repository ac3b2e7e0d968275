"""An asyncio event loop whose clock stands still while there is work, for tests of time limits.

On the real clock a test of short limits fails on a busy machine, and one of long limits waits.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
DELIVERY_SECONDS = 0.002
"""Real time that the kernel has to deliver what was sent on this machine's own sockets."""


class _Jumping(selectors.DefaultSelector):
    """A selector that lets its loop's clock jump to the next timer where nothing is ready."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(None)
        ready = super().select(min(timeout, DELIVERY_SECONDS))
        if not ready:
            self.now += max(timeout, 0.0)
        return ready


class _StillLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, which may use sockets of this machine but no threads."""
    with asyncio.Runner(loop_factory=_StillLoop) as runner:
        return runner.run(work)
