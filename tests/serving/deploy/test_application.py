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
