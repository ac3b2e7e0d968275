"""A replica of one student: parses, batches, answers; swaps its student without a pause."""

import asyncio
import logging
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ray import serve

from mint_ray.serving.engine import Engine
from mint_ray.serving.requests import Asked, DiagnoseRequest, Options, Unusable, read_image
from mint_ray.tracking.registry import SCHEME, Registry

logger = logging.getLogger(__name__)

Reply = dict[str, Any]
"""`{"answer": ...}`, or `{"refused": reason, "message": ...}`."""


@serve.deployment
class StudentReplica:
    """Answers about notes or images.

    Its user config has `student` (a folder, or `models:/NAME@ALIAS`), `tracking` (where the
    registry is), `batch_size` and `batch_wait_seconds`. A changed one loads the new student beside
    the old one and swaps them between two batches.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._lineage: dict[str, Any] = {}
        # One thread computes; another loads, so that answers go on.
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._load = ThreadPoolExecutor(1, thread_name_prefix="load")

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Load the student that the config names."""
        self._batched.set_max_batch_size(config["batch_size"])
        self._batched.set_batch_wait_timeout_s(config["batch_wait_seconds"])
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        engine, lineage = await loop.run_in_executor(self._load, load_engine, dict(config))
        self._engine, self._lineage = engine, lineage
        seconds = time.perf_counter() - began
        logger.info("serving %s version %s, loaded in %.1f s", *engine.model_id, seconds)

    def check_health(self) -> None:
        """Ask the model; Serve replaces a replica whose check raises."""
        engine = self._ready()
        self._compute.submit(engine.check).result()

    async def diagnose(self, request_id: str, request: Mapping[str, Any]) -> Reply:
        """Answer about a patient; the request was validated by whoever calls."""
        reader = self._ready().reader
        if reader is None:
            return {"refused": "wrong_model", "message": "this model answers about images"}
        try:
            asked = reader.read(DiagnoseRequest.model_validate(request))
        except Unusable as error:
            return {"refused": error.reason, "message": str(error)}
        return {"answer": await self._batched((request_id, asked))}

    async def tissue(self, request_id: str, image: bytes, options: Mapping[str, Any]) -> Reply:
        """Answer about an image."""
        if self._ready().reader is not None:
            return {"refused": "wrong_model", "message": "this model answers about notes"}
        try:
            asked = read_image(image, Options.model_validate(options))
        except Unusable as error:
            return {"refused": error.reason, "message": str(error)}
        return {"answer": await self._batched((request_id, asked))}

    async def about(self) -> dict[str, Any]:
        """The model that answers now, and what it was made from."""
        return {**self._ready().model.model_dump(), "lineage": self._lineage}

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def _batched(self, items: list[tuple[str, Asked]]) -> list[dict[str, Any]]:
        engine, loop = self._ready(), asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._compute, engine.answer, dict(items))
        return [answer.model_dump(mode="json") for answer in answers]

    def _ready(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("no student is loaded yet")
        return self._engine


def load_engine(config: Mapping[str, Any]) -> tuple[Engine, dict[str, Any]]:
    """The warm engine of a student, and its lineage.

    Raises:
        RegistryError: the registry does not have it.
        MintError: it cannot be loaded.
    """
    student, size = str(config["student"]), int(config["batch_size"])
    if not student.startswith(SCHEME):
        folder = Path(student)
        engine = Engine(folder, name=folder.parent.name, version=folder.name, batch_size=size)
        engine.warm_up()
        return engine, {"folder": folder.name}
    registry = Registry(config["tracking"])
    version = registry.find(student)
    with tempfile.TemporaryDirectory(prefix="mint-serve-") as work:
        folder = registry.download(f"{SCHEME}{version.name}/{version.number}", Path(work))
        engine = Engine(folder, name=version.name, version=str(version.number), batch_size=size)
    engine.warm_up()
    lineage = {k: v for k, v in version.tags.items() if k.startswith("mint_ray.")}
    return engine, lineage
