"""A replica of one student: parses, batches, answers; swaps its student without a pause."""

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve

from mint_ray.serving.api.requests import (
    Asked,
    DiagnoseRequest,
    Options,
    UnusableRequest,
    read_image,
)
from mint_ray.serving.loading import Loaded, is_outdated, load_predictor
from mint_ray.serving.predictor import Predictor

logger = logging.getLogger(__name__)

Reply = dict[str, Any]
"""`{"answer": ...}`, or `{"refused": reason, "message": ..., "status": ...}`."""


@serve.deployment
class StudentReplica:
    """Answers about notes or images.

    Its user config has `student` (a folder, or `models:/NAME@ALIAS`), `more_models` (name ->
    further students, loaded when first asked for, over the same base model where it is the same),
    `tracking` (where the registry is), `refresh_seconds`, `batch_size` and `batch_wait_seconds`. A
    changed one, or a new champion, is loaded beside the old student; they are swapped between two
    batches.
    """

    def __init__(self) -> None:
        self._config: Mapping[str, Any] = {}
        self._main: Loaded | None = None
        self._further: dict[str, Loaded] = {}
        self._loading = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        # One thread computes; another loads, so that answers go on.
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._load = ThreadPoolExecutor(1, thread_name_prefix="load")

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Load the student that the config names."""
        self._batched.set_max_batch_size(config["batch_size"])
        self._batched.set_batch_wait_timeout_s(config["batch_wait_seconds"])
        if self._watching is not None:
            self._watching.cancel()
        await self._swap(config)
        self._watching = asyncio.create_task(self._watch())

    async def _swap(self, config: Mapping[str, Any]) -> None:
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        loaded = await loop.run_in_executor(self._load, load_predictor, config, config["student"])
        async with self._loading:
            self._config, self._main, self._further = config, loaded, {}
        name, version = loaded.predictor.model_id
        logger.info("serving %s %s, loaded in %.1f s", name, version, time.perf_counter() - began)

    async def _watch(self) -> None:
        """Look for a new champion from time to time; while the registry is away, all stays."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._config["refresh_seconds"])
            try:
                args = (self._config, self._ready())
                if await loop.run_in_executor(self._load, is_outdated, *args):
                    await self._swap(self._config)
            except Exception as error:  # of any kind: the old student goes on
                logger.warning("no look at the registry: %s", type(error).__name__)

    async def check_health(self) -> None:
        """Ask the model; Serve replaces a replica whose check raises."""
        predictor = self._ready().predictor
        await asyncio.get_running_loop().run_in_executor(self._compute, predictor.check)

    async def diagnose(self, request_id: str, request: Mapping[str, Any]) -> Reply:
        """Answer about a patient; the request was validated by whoever calls."""
        asked = DiagnoseRequest.model_validate(request)
        predictor = await self._engine(asked.model)
        if predictor is None:
            return _unknown(asked.model)
        if predictor.reader is None:
            return {"refused": "wrong_model", "message": "this model answers about images"}
        try:
            return await self._answer(predictor, request_id, predictor.reader.read(asked))
        except UnusableRequest as error:
            return {"refused": error.reason, "message": str(error)}

    async def tissue(self, request_id: str, image: bytes, options: Mapping[str, Any]) -> Reply:
        """Answer about an image."""
        wanted = Options.model_validate(options)
        predictor = await self._engine(wanted.model)
        if predictor is None:
            return _unknown(wanted.model)
        if predictor.reader is not None:
            return {"refused": "wrong_model", "message": "this model answers about notes"}
        try:
            return await self._answer(predictor, request_id, read_image(image, wanted))
        except UnusableRequest as error:
            return {"refused": error.reason, "message": str(error)}

    async def about(self) -> list[dict[str, Any]]:
        """The models that can be asked, the first of them by default, and what those that are
        loaded were made from."""
        main = self._ready()
        names = [name for name in self._config["more_models"] if name not in self._further]
        loaded = [item.about() for item in (main, *self._further.values())]
        return loaded + [{"name": name} for name in names]

    @serve.multiplexed(max_num_models_per_replica=-1)  # type: ignore[untyped-decorator]
    async def _here(self, name: str) -> str:
        """Tells Serve that this replica has a further student: its requests then come here."""
        return name

    async def _engine(self, name: str | None) -> Predictor | None:
        """The predictor of a name; None where there is none."""
        main = self._ready()
        if name is None or name == main.predictor.model.name:
            return main.predictor
        if name not in self._config["more_models"]:
            return None
        await self._here(name)
        async with self._loading:
            if name not in self._further:
                main, config = self._ready(), self._config
                # On the computing thread: the base model is shared.
                self._further[name] = await asyncio.get_running_loop().run_in_executor(
                    self._compute,
                    load_predictor,
                    config,
                    config["more_models"][name],
                    name,
                    main.predictor,
                )
            return self._further[name].predictor

    async def _answer(self, predictor: Predictor, request_id: str, asked: Asked) -> Reply:
        return {"answer": await self._batched((predictor, request_id, asked))}

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)  # type: ignore[untyped-decorator]
    async def _batched(self, items: list[tuple[Predictor, str, Asked]]) -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._compute, _answer_all, items)

    def _ready(self) -> Loaded:
        if self._main is None:
            raise RuntimeError("no student is loaded yet")
        return self._main


def _answer_all(items: list[tuple[Predictor, str, Asked]]) -> list[dict[str, Any]]:
    """Answers in the order of the items, computed together where the student is the same."""
    by_engine: dict[int, tuple[Predictor, dict[str, Asked]]] = {}
    for predictor, request_id, asked in items:
        by_engine.setdefault(id(predictor), (predictor, {}))[1][request_id] = asked
    made = {
        answer.request_id: answer.model_dump(mode="json")
        for predictor, requests in by_engine.values()
        for answer in predictor.answer(requests)
    }
    return [made[request_id] for _, request_id, _ in items]


def _unknown(name: str | None) -> Reply:
    # The name came from outside, so it is not repeated.
    message = "no model of this name is served; /v1/models lists those that are"
    return {"refused": "unknown_model", "message": message, "status": 404}
