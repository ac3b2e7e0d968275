"""The stage `reason` on a real Ray that is killed: the next run says the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mint_ray.stages import reason
from tests.in_process import without_ray
from tests.stages.reason_inputs import Answering, answering, answers_of, asking, context_of, server
from tests.teachers.endpoint.server import FakeServer

__all__ = ["answering", "server"]


@pytest.mark.cluster
def test_killed_half_way_then_run_again(
    tmp_path: Path, server: FakeServer, answering: Answering
) -> None:
    """The driver is killed while it asks; the next run says the same, and asks nothing twice."""
    settings = asking(server, concurrency=1)
    whole = context_of(tmp_path / "whole", protocol="rag_cot", **settings)
    with without_ray():
        reason.run(whole)
    assert len(server.bodies) == 50
    server.bodies.clear()
    answering.seconds = 0.5
    killed = context_of(tmp_path / "killed", protocol="rag_cot", **settings)
    driver = [sys.executable, "-m", "tests.stages.reason_driver", str(tmp_path / "killed")]
    process = subprocess.Popen([*driver, server.url], start_new_session=True)
    deadline = time.monotonic() + 240
    while len(server.bodies) < 12 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    asked = 0
    while asked < len(server.bodies):  # workers notice a little later that their driver is gone
        asked = len(server.bodies)
        time.sleep(3)
    assert 12 <= asked < 50
    answering.seconds = 0.0
    with without_ray():
        reason.run(killed)
    assert answers_of(killed) == answers_of(whole)
    # One question may have been on its way when the plug was pulled.
    assert 50 <= len(server.bodies) <= 51
