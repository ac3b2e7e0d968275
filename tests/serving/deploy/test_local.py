"""Addresses of `mint serve`, checked before Ray starts."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.serving.deploy import local
from mint_ray.serving.deploy.local import check_port, serve_until_stopped


def test_a_taken_port_is_refused_before_ray_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        student = {"student": str(tmp_path)}
        config = parse_config({"serving": {"port": port, "text": student}})
        with pytest.raises(ConfigError, match=rf"serving.port={port}: .*in use; stop what listens"):
            serve_until_stopped(config, print)


def test_a_port_that_was_used_a_moment_ago_is_free() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        with socket.create_connection(address):
            listener.accept()[0].close()
    check_port(*address)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ConfigError, match=r"expected a port of 203\.0\.113\.7 that is free"):
        check_port("203.0.113.7", 8000)


@pytest.mark.parametrize(
    ("applications", "found"), [({"mint": 1, "other": 1}, "mint, other"), ({}, "no application")]
)
def test_a_serve_that_runs_already_is_neither_used_nor_stopped(
    applications: dict[str, Any], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    fake = SimpleNamespace(
        status=lambda: SimpleNamespace(applications=applications, proxies={"node": "HEALTHY"}),
        start=lambda **_: called.append("start"),
        run=lambda *_, **__: called.append("run"),
        shutdown=lambda: called.append("shutdown"),
    )
    monkeypatch.setattr(local, "serve", fake)
    monkeypatch.setattr(local, "connect", lambda resources: "Ray")
    config = parse_config(
        {
            "serving": {"text": {"student": str(tmp_path)}},
            "resources": {"ray_address": "auto"},
        }
    )
    with pytest.raises(ConfigError, match=f"found one that runs {found}; .* serve shutdown"):
        serve_until_stopped(config, print)
    assert called == []


def test_the_proxy_sets_no_limit_to_a_whole_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[Any] = []

    def run(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    fake = SimpleNamespace(
        status=lambda: SimpleNamespace(applications={}, proxies={}),
        start=lambda http_options: options.append(http_options),
        run=run,
        shutdown=lambda: None,
    )
    monkeypatch.setattr(local, "serve", fake)
    monkeypatch.setattr(local, "connect", lambda resources: "Ray")
    monkeypatch.setattr(local.signal, "signal", lambda *_: None)
    monkeypatch.setattr(local, "build", lambda *_: None)
    config = parse_config(
        {"serving": {"text": {"student": str(tmp_path)}}, "resources": {"ray_address": "auto"}}
    )
    with pytest.raises(KeyboardInterrupt):
        serve_until_stopped(config, print)
    assert options[0].request_timeout_s is None
