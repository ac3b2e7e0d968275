"""The application of a config, built in one process and run in another."""

import hashlib
from typing import Any

import pytest

from mint_ray.config.serving import ServingConfig
from mint_ray.serving.deploy.application import build
from mint_ray.serving.http.security import KEY_HASHES


def ingress_arguments(monkeypatch: pytest.MonkeyPatch, hashes: str) -> tuple[Any, ...]:
    monkeypatch.setenv(KEY_HASHES, hashes)
    config = ServingConfig.model_validate({"text": {"student": "models:/a@champion"}})
    deployment = build(config, "sqlite://")._bound_deployment
    monkeypatch.delenv(KEY_HASHES)  # as on the machine of another node
    return tuple(deployment.init_args)


def test_an_ingress_without_the_keys_of_its_builder_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, _, _, needs_keys = ingress_arguments(monkeypatch, hashlib.sha256(b"a").hexdigest())
    assert needs_keys
    assert settings["api_keys"] is None
    assert not ingress_arguments(monkeypatch, "")[3]


@pytest.mark.parametrize(
    ("settings", "threads"), [({}, 1), ({"cpus": 1.6}, 2), ({"cpus": 0.4}, 1), ({"threads": 3}, 3)]
)
def test_a_replica_computes_with_its_threads(settings: dict[str, Any], threads: int) -> None:
    config = ServingConfig.model_validate({"text": {"student": "models:/a@champion", **settings}})
    student = build(config, "sqlite://")._bound_deployment.init_args[1]
    assert student._bound_deployment.init_args == (threads,)
