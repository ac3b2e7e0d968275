"""Tiny students of notes and of images, and the service with them on a real Ray Serve."""

import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import torch

from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.serving.deploy.logs import OURS
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.models.processors import load_readers
from mint_ray.students.student import info_of, write_student
from mint_ray.students.student_folder import student_files
from mint_ray.tracking.registry import Registry
from tests.students.conftest import base_folder, tokenizer
from tests.students.pairs import student_config
from tests.students.tiny_vision import save_llava
from tests.students.vision_cases import TISSUES

__all__ = ["base_folder", "tokenizer"]

DISEASES = {
    "OMIM:154700": "Marfan syndrome",
    "OMIM:163950": "Noonan syndrome 1",
    "OMIM:219700": "Cystic fibrosis",
    "OMIM:310200": "Duchenne muscular dystrophy",
}
NAME = "mint-tiny"


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """Take back the handlers that an ingress or a replica in this process gives our logger."""
    ours = logging.getLogger(OURS)
    level, handlers = ours.level, list(ours.handlers)
    yield
    ours.setLevel(level)
    ours.handlers = handlers


@pytest.fixture(scope="session")
def folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student whose adapter was drawn, not trained."""
    return draw_student(base_folder, tmp_path_factory.mktemp("served") / "student", seed=1)


@pytest.fixture(scope="session")
def vision_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of images, likewise."""
    root = tmp_path_factory.mktemp("served-vision")
    save_llava(tokenizer, root / "base")
    return draw_student(root / "base", root / "student", seed=1, task="tissue")


def draw_student(base_folder: Path, folder: Path, seed: int, task: str = "disease") -> Path:
    """A student with an adapter of random weights."""
    folder.mkdir()
    settings = student_config(base_folder, max_prompt_length=400, max_length=500)
    base = resolve_base_model(settings.base_model)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), settings, None, seed=0)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.15)
    labels = dict(zip(TISSUES, TISSUES, strict=True)) if task == "tissue" else DISEASES
    catalogue = folder / "made.parquet"
    Catalogue(Label(key, name, (key,), (), ()) for key, name in labels.items()).write(catalogue)
    info = info_of(base, settings, 2, "orpo", {"seed": str(seed)}, task)
    reader, processor = load_readers(base)
    write_student(folder, model, processor or reader, info, catalogue)
    return folder


@dataclass(frozen=True)
class Running:
    """A running service, and the registry its student of notes comes from."""

    url: str
    registry: Registry
    second: Path


@pytest.fixture(scope="package")
def service(
    folder: Path,
    vision_folder: Path,
    base_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """A champion and a second student of notes, and one of images."""
    from ray import serve
    from ray.serve.config import HTTPOptions

    from mint_ray.config.resources import ResourcesConfig
    from mint_ray.config.serving import ServingConfig
    from mint_ray.runtime.session import connect
    from mint_ray.serving.deploy.application import build
    from mint_ray.serving.http.front import put_before_proxies

    root = tmp_path_factory.mktemp("service")
    second = draw_student(base_folder, root / "second", seed=2)
    registry = Registry(f"sqlite:///{root}/mlflow.db")
    tags = {"mint_ray.campaign": "tune-00000000"}
    first = registry.register(NAME, "calibrate-1", folder, student_files(folder), tags)
    registry.promote(first)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"max_replicas": 1, "cpus": 0.4, "batch_size": 4}
    text = {
        "student": f"models:/{NAME}@champion",
        "more_models": {"second": str(second)},
        "refresh_seconds": 1,
        **shared,
    }
    vision = {"student": str(vision_folder), **shared}
    config = ServingConfig.model_validate(
        {
            "port": port,
            "text": text,
            "vision": vision,
            "timeout_seconds": 60,
            "requests_per_minute": 10**6,
        }
    )
    put_before_proxies()
    connect(ResourcesConfig())
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    serve.run(build(config, registry.uri), name="mint", route_prefix="/")
    yield Running(f"http://127.0.0.1:{port}", registry, second)
    serve.shutdown()


@pytest.fixture(scope="package")
def url(service: Running) -> str:
    """The address of the service."""
    return service.url


def wait_until(condition: Any, seconds: float = 60) -> None:
    """Ask again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it in time"
        time.sleep(0.1)


def models(url: str) -> list[dict[str, Any]]:
    """What answers now."""
    found = requests.get(f"{url}/v1/models", timeout=60).json()["data"]
    return [dict(model) for model in found]
