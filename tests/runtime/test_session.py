"""Where a local Ray listens, and what it says."""

import ctypes
import os

import pytest
from ray._private import ray_constants, services

from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import ConfigError
from mint_ray.runtime import session


def starts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The settings with which Ray is started from now on, without a start."""
    settings: list[dict[str, object]] = []
    for name in session.SELDOM_LOOKED_FOR:
        monkeypatch.setenv(name, "")  # so that what is set is taken back
        monkeypatch.delenv(name)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.ray, "init", lambda **chosen: settings.append(chosen))
    monkeypatch.setattr(session.ray, "cluster_resources", dict)
    monkeypatch.setattr(session.ray, "nodes", list)
    return settings


@pytest.mark.parametrize(("address", "stays"), [(None, True), ("10.0.0.1:6379", False)])
def test_a_local_ray_is_on_loopback(
    address: str | None, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    monkeypatch.setenv(variable, "1")
    starts(monkeypatch)
    monkeypatch.setattr("ray._private.worker._global_node", None)
    session.connect(ResourcesConfig(ray_address=address))
    assert (os.environ[variable] == "0") is stays
    assert (services.get_node_ip_address() == "127.0.0.1") is stays


@pytest.mark.parametrize(
    ("address", "wanted", "seldom"),
    [(None, "", True), (None, "1", False), ("10.0.0.1:1", "", False)],
)
def test_a_local_ray_looks_seldom_for_output_that_nobody_wants(
    address: str | None, wanted: str, seldom: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(session.WORKER_LOGS, wanted)
    started = starts(monkeypatch)
    session.connect(ResourcesConfig(ray_address=address))
    assert {os.environ.get(name) for name in session.SELDOM_LOOKED_FOR} == (
        set(session.SELDOM_LOOKED_FOR.values()) if seldom else {None}
    )
    assert started[0]["log_to_driver"] is bool(wanted)


@pytest.mark.parametrize("chosen", [None, "info"])
def test_rays_core_is_silent_here_and_nowhere_else(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core reads C's environment when Ray connects; Ray's processes get `os.environ`."""
    monkeypatch.delenv(session.CORE_LOG_LEVEL, raising=False)
    if chosen is not None:
        monkeypatch.setenv(session.CORE_LOG_LEVEL, chosen)
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    seen: list[object] = []

    def init(**_: object) -> None:
        seen.extend((getenv(session.CORE_LOG_LEVEL.encode()), os.environ.copy()))
        raise ConnectionError

    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.ray, "init", init)
    with pytest.raises(ConnectionError):
        session.connect(ResourcesConfig(ray_address="10.0.0.1:6379"))
    in_c, in_python = seen
    assert in_c == (b"fatal" if chosen is None else chosen.encode())
    assert isinstance(in_python, dict)
    assert in_python.get(session.CORE_LOG_LEVEL) == chosen
    left = getenv(session.CORE_LOG_LEVEL.encode())
    assert left == (None if chosen is None else chosen.encode())


def begun(
    monkeypatch: pytest.MonkeyPatch,
    resources: ResourcesConfig,
    group: tuple[str, int] | None = None,
) -> list[str]:
    """The lines that a session on a node without a GPU prints."""
    said: list[str] = []
    node = {"Alive": True, "Resources": {"CPU": 2.0}}
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(session, "connect", lambda _: "Ray")
    monkeypatch.setattr(session.ray, "nodes", lambda: [node])
    session.begin_session(resources, said.append, group)
    return said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpus_per_worker": 1}, r"resources\.gpus_per_worker=1: .* 1 GPU, found at most 0 GPU"),
        ({"cpus_per_worker": 3}, r"resources\.cpus_per_worker=3: .* 3 CPU, found at most 2 CPU"),
    ],
)
def test_a_worker_that_no_node_has_room_for_is_refused_at_once(
    settings: dict[str, float], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=message):
        begun(monkeypatch, ResourcesConfig.model_validate(settings))
    elsewhere = ResourcesConfig.model_validate({**settings, "ray_address": "10.0.0.1:6379"})
    assert begun(monkeypatch, elsewhere)[1].startswith("waiting until the cluster grows: ")
    assert begun(monkeypatch, ResourcesConfig()) == ["Ray"]


def test_a_group_of_workers_without_room_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = ("train_workers", 3)
    with pytest.raises(ConfigError, match=r"resources\.train_workers=3: .* found room for 2 on"):
        begun(monkeypatch, ResourcesConfig(train_workers=3), group)
    elsewhere = ResourcesConfig(train_workers=3, ray_address="10.0.0.1:6379")
    assert begun(monkeypatch, elsewhere, group)[1].startswith("waiting until the cluster grows: ")
    assert begun(monkeypatch, ResourcesConfig(), ("train_workers", 2)) == ["Ray"]
