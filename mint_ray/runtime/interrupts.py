"""Ctrl-C while Ray's libraries work: it ends them at once, as it ends everything else.

Ray Train and Ray Tune put handlers of their own in the place of Python's, and leave them there when
they are done. That of Ray Train asks its controller to abort, which takes as long as the controller
waits for something, and ends the program with a code of its own.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.train.torch import TorchTrainer


@contextmanager
def keeping_handler() -> Iterator[None]:
    """Put this process's handler of SIGINT back after the body.

    Only the main thread may do so, and only there Ray puts another one in its place.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


class InterruptibleTrainer(TorchTrainer):  # type: ignore[misc]
    """Ray Train's trainer, whose run an interrupt ends at once."""

    _controller: Any = None

    def fit(self) -> Any:
        """Run the training; see Ray Train.

        Raises:
            KeyboardInterrupt: the process was interrupted. The workers are on their way out.
        """
        try:
            return super().fit()
        except KeyboardInterrupt:
            if self._controller is not None:
                ray.kill(self._controller)  # its workers end with it
            raise

    def _register_sigint_handler(self, controller: Any) -> None:
        """Keep the controller, and Python's handler, where Ray Train would install its own."""
        self._controller = controller
