"""Repeated calls of a function in a thread beside the work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def call_every(look: Callable[[], None], seconds: float, name: str) -> Iterator[None]:
    """Call `look` in a thread every `seconds` while the body runs, and once at its end."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(seconds):
            look()

    thread = threading.Thread(target=watch, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()
