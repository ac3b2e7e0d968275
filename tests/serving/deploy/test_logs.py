"""Logs of the service, as its processes write them."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mint_ray.config.serving import ServingConfig
from mint_ray.serving.api.requests import DiagnoseRequest
from mint_ray.serving.deploy import logs
from mint_ray.serving.http.security import ApiKeys, RateLimit
from mint_ray.serving.http.service import RequestRefused, Service
from tests.serving.http.test_guard import Guard, ask, echo


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The file of a replica, with Ray Serve's logger writing to it."""
    handler = logging.FileHandler(tmp_path / "replica.log")
    loggers = [logging.getLogger(name) for name in (logs.RAY_SERVE, logs.OURS)]
    before = [(item.level, list(item.handlers)) for item in loggers]
    loggers[0].addHandler(handler)
    yield tmp_path / "replica.log"
    for item, (level, handlers) in zip(loggers, before, strict=True):
        item.setLevel(level)
        item.handlers = handlers
    handler.close()


class Dead:
    """A handle whose replica is gone."""

    def __getattr__(self, name: str) -> Any:
        return self

    def remote(self, *_: Any) -> Any:
        async def fail() -> None:
            raise RuntimeError("canary")

        return fail()


def test_the_audit_log_is_written(file: Path) -> None:
    logs.write_to_serve_logs()
    logs.write_to_serve_logs()  # a replica may be started again in the same process
    _, headers, _ = ask(Guard(echo, ApiKeys(None, ""), RateLimit(9), 1024))
    lines = file.read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [[headers["x-mint-request-id"], "address-::1"]]


def test_a_failure_is_logged_with_the_request_id_that_the_client_gets(file: Path) -> None:
    logs.write_to_serve_logs()
    handle: Any = Dead()
    service = Service(handle, None, ServingConfig())
    with pytest.raises(RequestRefused):
        asyncio.run(service.diagnose("id-1", DiagnoseRequest(note="canary")))
    assert "request id-1: a replica failed: RuntimeError" in file.read_text()
    assert "canary" not in file.read_text()
