"""Addresses of `mint serve`, checked before Ray starts."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mint_ray.cli import main
from mint_ray.config.load import parse_config
from mint_ray.config.serving import ServingConfig
from mint_ray.errors import ConfigError
from mint_ray.runtime import session
from mint_ray.serving.deploy import local
from mint_ray.serving.deploy.local import check_port, check_replicas_fit, serve_until_stopped


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


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Calls of a Ray Serve that is played, by name; the handler of SIGTERM is put back."""
    made: dict[str, Any] = {}
    fake = SimpleNamespace(
        status=lambda: SimpleNamespace(applications={}, proxies={}),
        start=lambda http_options: made.update(start=http_options),
        run=lambda *_, **__: made.update(run=True),
        shutdown=lambda: made.update(shutdown=True),
    )
    monkeypatch.setattr(local, "serve", fake)
    monkeypatch.setattr(local, "connect", lambda resources: "Ray")
    monkeypatch.setattr(local, "build", lambda *_: None)
    monkeypatch.setattr(session.ray, "nodes", list)
    handler = signal.getsignal(signal.SIGTERM)
    yield made
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    file = tmp_path / "served.yaml"
    tree = {"serving": {"text": {"student": "folder"}}, "resources": {"ray_address": "auto"}}
    file.write_text(json.dumps(tree))
    return str(file)


def signalled(number: int, monkeypatch: pytest.MonkeyPatch, *, while_loading: bool) -> None:
    """Let a signal come while a model is loading, or when the service listens."""

    def run(*_: Any, **__: Any) -> None:
        if while_loading:
            signal.raise_signal(number)

    monkeypatch.setattr(local.serve, "run", run)
    listening = SimpleNamespace(wait=lambda: signal.raise_signal(number))
    monkeypatch.setattr(local, "threading", SimpleNamespace(Event=lambda: listening))


@pytest.mark.parametrize("while_loading", [True, False])
def test_ctrl_c_stops_the_service(
    while_loading: bool,
    called: dict[str, Any],
    config_file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    signalled(signal.SIGINT, monkeypatch, while_loading=while_loading)
    assert main(["serve", config_file]) == 130
    printed = capsys.readouterr().err
    assert ("listening on" in printed) is not while_loading
    assert printed.splitlines()[-1] == "stopped"
    assert "Traceback" not in printed
    assert called["shutdown"]
    assert called["start"].request_timeout_s is None  # it would count a whole stream


@pytest.mark.parametrize("while_loading", [True, False])
def test_sigterm_stops_the_service(
    while_loading: bool,
    called: dict[str, Any],
    config_file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signalled(signal.SIGTERM, monkeypatch, while_loading=while_loading)
    with pytest.raises(SystemExit) as ended:
        main(["serve", config_file])
    assert (ended.value.code, called["shutdown"]) == (0, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": {"gpus": 1}}, r"serving\.text\.gpus=1: .* 1 GPU, found at most 0 GPU"),
        ({"vision": {"gpus": 0.5}}, r"serving\.vision\.gpus=0\.5: .*found at most 0 GPU"),
        ({"text": {"cpus": 3}}, r"serving\.text\.cpus=3: .* 3 CPU, found at most 2 CPU"),
        ({"text": {"cpus": 2}}, r"expected 2\.1 CPU .*, found 2 CPU on 1 node"),
        (
            {"text": {"min_replicas": 2}, "vision": {}},
            r"serving\.text\.min_replicas=2 of serving\.text\.cpus=1 and "
            r"serving\.vision\.min_replicas=1 .* expected 3\.1 CPU",
        ),
    ],
)
def test_replicas_that_never_get_room_are_refused_before_they_are_waited_for(
    settings: dict[str, Any],
    message: str,
    called: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = {"Alive": True, "Resources": {"CPU": 2.0}}
    monkeypatch.setattr(session.ray, "nodes", lambda: [node])
    students = {kind: {"student": "folder", **more} for kind, more in settings.items()}
    config = parse_config({"serving": {**students, "port": free_port()}})
    with pytest.raises(ConfigError, match=message):
        serve_until_stopped(config, print)
    assert called == {}
    # A cluster may still grow.
    elsewhere = {"ray_address": "10.0.0.1:6379"}
    config = parse_config({"serving": students, "resources": elsewhere})
    monkeypatch.setattr(local, "threading", SimpleNamespace(Event=stop_at_once))
    with pytest.raises(KeyboardInterrupt):
        serve_until_stopped(config, print)
    assert "waiting until the cluster grows: serving." in capsys.readouterr().out
    assert called["run"]


def test_what_two_cores_have_room_for_is_served() -> None:
    students = {kind: {"student": "folder", "cpus": 0.9} for kind in ("text", "vision")}
    check_replicas_fit(ServingConfig.model_validate(students), [{"CPU": 2.0}])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_at_once() -> Any:
    raise KeyboardInterrupt
