"""A tiny student of notes, and the service with it on a real Ray Serve."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.students.base_models import load_base_model, load_tokenizer, resolve_base_model
from mint_ray.students.student import add_adapter, info_of, write_student
from tests.students.conftest import base_folder, student_config, tokenizer

__all__ = ["base_folder", "tokenizer"]

DISEASES = {
    "OMIM:154700": "Marfan syndrome",
    "OMIM:163950": "Noonan syndrome 1",
    "OMIM:219700": "Cystic fibrosis",
    "OMIM:310200": "Duchenne muscular dystrophy",
}


@pytest.fixture(scope="session")
def folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student whose adapter was drawn, not trained."""
    return draw_student(base_folder, tmp_path_factory.mktemp("served") / "student", seed=1)


def draw_student(base_folder: Path, folder: Path, seed: int) -> Path:
    """A student of notes with an adapter of random weights."""
    folder.mkdir()
    settings = student_config(base_folder, max_prompt_length=400)
    base = resolve_base_model(settings.base_model)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), settings, None, seed=0)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.15)
    catalogue = folder / "made.parquet"
    Catalogue(Label(key, name, (key,), (), ()) for key, name in DISEASES.items()).write(catalogue)
    info = info_of(base, settings, 2, "orpo", {})
    write_student(folder, model, load_tokenizer(base), info, catalogue)
    return folder


@pytest.fixture(scope="session")
def url(folder: Path, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running service."""
    from ray import serve
    from ray.serve.config import HTTPOptions

    from mint_ray.config import ResourcesConfig
    from mint_ray.config_serving import ServingConfig
    from mint_ray.serving.application import NAME, build
    from mint_ray.stages.ray_session import connect

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    connect(ResourcesConfig())
    second = draw_student(base_folder, tmp_path_factory.mktemp("second") / "student", seed=2)
    text = {
        "student": str(folder),
        "also": {"second": str(second)},
        "max_replicas": 1,
        "cpus": 0.5,
        "batch_size": 4,
    }
    config = ServingConfig.model_validate({"port": port, "text": text, "timeout_seconds": 20})
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    serve.run(build(config, "sqlite:///none.db"), name=NAME, route_prefix="/")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
