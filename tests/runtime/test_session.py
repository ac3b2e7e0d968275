"""Where a local Ray listens."""

import os

import pytest
from ray._private import ray_constants, services

from mint_ray.config.resources import ResourcesConfig
from mint_ray.runtime import session


@pytest.mark.parametrize(("address", "stays"), [(None, True), ("10.0.0.1:6379", False)])
def test_a_local_ray_is_on_loopback(
    address: str | None, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    monkeypatch.setenv(variable, "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.ray, "init", lambda **_: None)
    monkeypatch.setattr(session.ray, "cluster_resources", dict)
    monkeypatch.setattr(session.ray, "nodes", list)
    monkeypatch.setattr("ray._private.worker._global_node", None)
    session.connect(ResourcesConfig(ray_address=address))
    assert (os.environ[variable] == "0") is stays
    assert (services.get_node_ip_address() == "127.0.0.1") is stays
