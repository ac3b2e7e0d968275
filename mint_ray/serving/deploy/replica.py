"""Ray Serve replica of a student: parsing, batching, and replacement of the model under load."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ray import serve

from mint_ray.errors import ServingError
from mint_ray.serving.api.answers import Answer, Refusal, Reply
from mint_ray.serving.api.requests import Asked, DiagnoseRequest, Options, UnusableRequest
from mint_ray.serving.deploy.logs import write_to_serve_logs
from mint_ray.serving.loading import Loaded, is_outdated, load_predictor

if TYPE_CHECKING:  # slow to import, also where a service is only begun
    from mint_ray.serving.predictor import Predictor

logger = logging.getLogger(__name__)

T = TypeVar("T")

READERS = 4
"""Notes that are read at the same time."""
STUCK_SECONDS = 300.0
"""Time after which a batch that is not done means that the model is stuck, not that it is slow."""

# The name is not repeated: it comes from the client and may hold anything.
_UNKNOWN_MODEL = Refusal(
    "unknown_model", "no model of this name is served; /v1/models lists those that are", 404
)


@serve.deployment
class StudentReplica:
    """Deployment that answers requests about notes or about images.

    Its user config has `student` (a folder, or `models:/NAME@ALIAS`), `more_models` (name ->
    further student, loaded at its first request, on the same base model if possible), `tracking`
    (URI of the registry), `documents` (folder of a finished `index` step, or None),
    `refresh_seconds`, `batch_size` and `batch_wait_seconds`.

    After a change of the user config, or of the version under the registry alias, the new student
    is loaded while the old one answers; the two are exchanged between two batches.

    Args:
        threads: torch's CPU threads for a batch.
    """

    def __init__(self, threads: int = 1) -> None:
        write_to_serve_logs()
        self._config: Mapping[str, Any] = {}
        self._main: Loaded | None = None
        self._further: dict[str, Loaded] = {}
        self._loading = asyncio.Lock()
        self._loads: set[asyncio.Task[Loaded]] = set()
        self._watching: asyncio.Task[None] | None = None
        # One thread computes, because students on one base model must take turns. Another one
        # loads, so that answers continue meanwhile. OpenMP gives each thread that computes in
        # parallel a team of its own, and once their members outnumber the cores they sleep between
        # two operations, which doubles the time of a batch. So only this thread has a team.
        self._compute = _pool("compute", torch_threads=threads)
        self._load = _pool("load")
        # Images are decoded, measured and made prompts beside the event loop, which answers health
        # checks. One at a time, because a large one takes hundreds of megabytes.
        self._decode = _pool("decode")
        # Notes are read beside it, too. Several at a time, so that a short one does not wait until
        # a very long one, which may take seconds, is read.
        self._read = _pool("read", READERS)
        self._computing_since: float | None = None
        # Held while a batch is computed. `serve.batch` forms the next batch meanwhile, of the
        # requests that it has by then; those stay outside until the turn is over, and so are
        # computed with the next requests of the callers that were just answered.
        self._turn = asyncio.Lock()

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Load the student that the user config names; Ray Serve calls this at each change."""
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
        """Check the registry every `refresh_seconds` and load a new version of the student.

        While the registry cannot be reached, the current student stays.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._config["refresh_seconds"])
            try:
                args = (self._config, self._ready())
                if await loop.run_in_executor(self._load, is_outdated, *args):
                    await self._swap(self._config)
            except Exception as error:  # whatever fails, the current student stays
                logger.warning("the registry could not be checked: %s", type(error).__name__)

    async def check_health(self) -> None:
        """Check that the model ranks; Ray Serve replaces a replica whose check raises.

        While the model works, the check does not wait behind its work: a model that ranks is well,
        unless a single batch takes longer than `STUCK_SECONDS`.

        Raises:
            ServingError: the ranking is empty, or the model is stuck.
        """
        predictor, since = self._ready().predictor, self._computing_since
        if since is None:
            await self._run(predictor.check)
        elif time.monotonic() - since > STUCK_SECONDS:
            raise ServingError(f"expected a batch within {STUCK_SECONDS:g} seconds, found none")

    async def diagnose(self, request_id: str, request: DiagnoseRequest) -> Reply:
        """Answer a request about a patient."""
        predictor = await self._predictor_named(request.model)
        if predictor is None:
            return _UNKNOWN_MODEL
        try:
            loop = asyncio.get_running_loop()
            asked = await loop.run_in_executor(self._read, predictor.read_patient, request)
            return await self._answer(predictor, request_id, asked)
        except UnusableRequest as error:
            return Refusal(error.reason, str(error))

    async def tissue(self, request_id: str, image: bytes, options: Options) -> Reply:
        """Answer a request about an encoded image."""
        predictor = await self._predictor_named(options.model)
        if predictor is None:
            return _UNKNOWN_MODEL
        if predictor.reader is not None:
            return Refusal("wrong_model", "this model answers about notes")
        try:
            loop = asyncio.get_running_loop()
            asked = await loop.run_in_executor(self._decode, predictor.read_image, image, options)
            return await self._answer(predictor, request_id, asked)
        except UnusableRequest as error:
            return Refusal(error.reason, str(error))

    async def about(self) -> list[dict[str, Any]]:
        """List the models that answer requests; the first one is the default.

        Loaded models come with their version, coverage and lineage, others with their name only.
        """
        main = self._ready()
        names = [name for name in self._config["more_models"] if name not in self._further]
        loaded = [item.about() for item in (main, *self._further.values())]
        return loaded + [{"name": name} for name in names]

    @serve.multiplexed(max_num_models_per_replica=-1)  # type: ignore[untyped-decorator]
    async def _announce(self, name: str) -> str:
        """Announce to Ray Serve that this replica holds a model, so its requests come here."""
        return name

    async def _predictor_named(self, name: str | None) -> "Predictor | None":
        """Return the predictor of a model, loading it if needed; None for an unknown name."""
        main = self._ready()
        if name is None or name == main.predictor.model.name:
            return main.predictor
        if name not in self._config["more_models"]:
            return None
        await self._announce(name)
        # A task of its own: a caller who hangs up would else throw away what is half loaded.
        load = asyncio.create_task(self._load_further(name))
        self._loads.add(load)
        load.add_done_callback(self._loads.discard)
        return (await asyncio.shield(load)).predictor

    async def _load_further(self, name: str) -> Loaded:
        """Return a further student, which is loaded at its first request."""
        async with self._loading:
            if name not in self._further:
                main, config = self._ready(), self._config
                # Loading changes the shared base model, so it must not overlap with a batch:
                # it runs on the computing thread.
                self._further[name] = await self._run(
                    load_predictor,
                    config,
                    config["more_models"][name],
                    name,
                    main.predictor,
                )
            return self._further[name]

    async def _answer(self, predictor: "Predictor", request_id: str, asked: Asked) -> Answer:
        async with self._turn:
            pass
        answer: Answer = await self._batched((predictor, request_id, asked))
        return answer

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)  # type: ignore[untyped-decorator]
    async def _batched(self, items: list[tuple["Predictor", str, Asked]]) -> list[Answer]:
        async with self._turn:
            return await self._run(_answer_all, items)

    async def _run(self, work: Callable[..., T], *args: Any) -> T:
        """Run work on the computing thread, and note when it began there."""

        def noted() -> T:
            self._computing_since = time.monotonic()
            try:
                return work(*args)
            finally:
                self._computing_since = None

        return await asyncio.get_running_loop().run_in_executor(self._compute, noted)

    def _ready(self) -> Loaded:
        if self._main is None:
            raise RuntimeError("no student is loaded yet")
        return self._main


def _pool(name: str, size: int = 1, torch_threads: int = 1) -> ThreadPoolExecutor:
    """Return a pool of threads, each of which computes with so many of torch's threads."""

    def begin() -> None:
        import torch

        torch.set_num_threads(torch_threads)

    return ThreadPoolExecutor(size, thread_name_prefix=name, initializer=begin)


def _answer_all(items: list[tuple["Predictor", str, Asked]]) -> list[Answer]:
    """Answer items in their order; those of the same predictor are computed together."""
    by_predictor: dict[int, tuple[Predictor, dict[str, Asked]]] = {}
    for predictor, request_id, asked in items:
        by_predictor.setdefault(id(predictor), (predictor, {}))[1][request_id] = asked
    answers = {
        answer.request_id: answer
        for predictor, requests in by_predictor.values()
        for answer in predictor.answer(requests)
    }
    return [answers[request_id] for _, request_id, _ in items]
