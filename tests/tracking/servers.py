"""Real MLflow stores: a SQLite file, and a server on one."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

KINDS = ("sqlite", "server")


@contextmanager
def store_uri(kind: str, file: Path) -> Iterator[str]:
    """The address of a store on a SQLite file, directly or behind a server."""
    if kind == "sqlite":
        yield f"sqlite:///{file}"
        return
    port = free_port()
    with server(file, port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def server(backend: Path, port: int) -> Iterator[None]:
    """`mlflow server` on a SQLite file, until the body is over."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{backend}"]
    command += ["--artifacts-destination", str(backend.parent / "artifacts")]
    own = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=own, start_new_session=True, **silent)
    try:
        wait_until_healthy(port, process)
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def wait_until_healthy(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended by itself"
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
            return
        time.sleep(0.2)
    pytest.fail("the server does not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
