"""The service over HTTP: routes, errors, streams. Ray Serve runs it; replicas do the work."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import ValidationError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from mint_ray import __version__
from mint_ray.config_serving import ServingConfig
from mint_ray.serving.answers import Answer
from mint_ray.serving.formats import as_csv, as_interpretations
from mint_ray.serving.guard import Guard, error_body
from mint_ray.serving.requests import (
    DiagnoseRequest,
    Options,
    TissueRequest,
    Unusable,
    decode_image,
)
from mint_ray.serving.security import ApiKeys, RateLimit

logger = logging.getLogger(__name__)

RETRY_AFTER = 1
"""Seconds after which a request that met a full queue may come again."""
LINES_AT_ONCE = 16
"""Lines of a batch that are answered at the same time."""
MOST_LINES = 10_000


class Refused(Exception):  # noqa: N818 - a request's fate
    """A request that gets an error: `status`, a word, a sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(reason)
        self.status, self.reason, self.message = status, reason, message


class Service:
    """What the routes do.

    Args:
        text: handle of the students of notes, None where there is none.
        vision: of images.
        timeout: seconds after which a request is given up.
    """

    def __init__(
        self, text: DeploymentHandle | None, vision: DeploymentHandle | None, timeout: float
    ) -> None:
        self._handles = {"text": text, "vision": vision}
        self._timeout = timeout

    async def diagnose(self, request_id: str, request: DiagnoseRequest) -> Answer:
        """Ask a student of notes."""
        handle = self._handle("text", "notes")
        call = handle.diagnose.remote(request_id, request.model_dump(mode="json"))
        return await self._answer(call)

    async def tissue(self, request_id: str, image: bytes, options: Options) -> Answer:
        """Ask a student of images."""
        handle = self._handle("vision", "images")
        call = handle.tissue.remote(request_id, image, options.model_dump())
        return await self._answer(call)

    async def models(self) -> list[dict[str, Any]]:
        """What answers now."""
        handles = {kind: handle for kind, handle in self._handles.items() if handle is not None}
        found = await asyncio.gather(*(self._wait(h.about.remote()) for h in handles.values()))
        return [{"kind": kind, **about} for kind, about in zip(handles, found, strict=True)]

    def _handle(self, kind: str, what: str) -> DeploymentHandle:
        handle = self._handles[kind]
        if handle is None:
            raise Refused(404, "no_model", f"no model that answers about {what} is served here")
        return handle

    async def _answer(self, call: Any) -> Answer:
        reply = await self._wait(call)
        if "refused" in reply:
            raise Refused(422, reply["refused"], reply["message"])
        return Answer.model_validate(reply["answer"])

    async def _wait(self, call: Any) -> Any:
        try:
            return await asyncio.wait_for(call, self._timeout)
        except TimeoutError as error:
            text = f"no answer within {self._timeout:g} seconds"
            raise Refused(504, "timeout", text) from error
        except BackPressureError as error:
            raise Refused(429, "busy", "all queues are full; come again") from error
        except Refused:
            raise
        # A replica that died, a cluster that is away: the caller may try again.
        except Exception as error:
            logger.error("a replica failed: %s", type(error).__name__)
            raise Refused(503, "unavailable", "the model is not available; come again") from error


class Metrics:
    """Counts for Prometheus; labels are routes and statuses, never what was asked."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        self._registry = CollectorRegistry()
        self._routes = routes
        self._requests = Counter(
            "mint_requests", "Answered requests", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "mint_request_seconds", "Time to answer", ["route"], registry=self._registry
        )

    def count(self, path: str, status: int, seconds: float) -> None:
        """One answered request; a path that is no route counts as `other`."""
        route = self._routes.get(path, "other")
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


def make_app(service: Service, config: ServingConfig) -> Any:
    """The guarded ASGI application."""
    app = FastAPI(title="mint_ray", version=__version__, redoc_url=None, docs_url=None)
    metrics = Metrics({})

    @app.post("/v1/diagnose", response_model=Answer)
    async def diagnose(
        request: Request,
        asked: DiagnoseRequest,
        accept: Annotated[str, Header()] = "application/json",
    ) -> Response:
        """Rank the catalogue's diseases for a patient."""
        answer = await service.diagnose(_id(request), asked)
        return _in_form(answer, accept)

    @app.post(
        "/v1/tissue",
        response_model=Answer,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    "application/json": {"schema": TissueRequest.model_json_schema()},
                },
            }
        },
    )
    async def tissue(
        request: Request,
        top_k: int = 10,
        explain: bool = False,
        accept: Annotated[str, Header()] = "application/json",
    ) -> Response:
        """Rank tissues for an image: its bytes, or JSON with base64."""
        body = await request.body()
        if request.headers.get("content-type", "").startswith("application/json"):
            asked = TissueRequest.model_validate_json(body)
            image, options = decode_image(asked), Options(top_k=asked.top_k, explain=asked.explain)
        else:
            image, options = body, Options(top_k=top_k, explain=explain)
        return _in_form(await service.tissue(_id(request), image, options), accept)

    @app.post("/v1/batch")
    async def batch(request: Request) -> StreamingResponse:
        """JSON lines of `/v1/diagnose` requests; answers as JSON lines, in their order."""
        lines = (await request.body()).splitlines()
        if len(lines) > MOST_LINES:
            raise Refused(413, "too_many_lines", f"expected at most {MOST_LINES} lines")
        stream = _answer_lines(service, _id(request), lines)
        return StreamingResponse(stream, media_type="application/jsonl")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """Which models answer, and what they were made from."""
        return {"models": await service.models()}

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether every model answers."""
        await service.models()
        return {"status": "ok"}

    @app.get("/metrics")
    async def prometheus() -> Response:
        """Counts and times, in Prometheus' text format."""
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Unusable, _unusable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ValidationError, _invalid)
    metrics._routes = {path: path for path in app.openapi()["paths"]}
    keys = ApiKeys(config.api_keys)
    limit = RateLimit(config.requests_per_minute)
    return Guard(app, keys, limit, config.max_body_bytes, metrics.count)


async def _answer_lines(
    service: Service, request_id: str, lines: list[bytes]
) -> AsyncIterator[str]:
    for at in range(0, len(lines), LINES_AT_ONCE):
        part = enumerate(lines[at : at + LINES_AT_ONCE], at)
        made = [_answer_line(service, f"{request_id}-{n}", line) for n, line in part]
        for answer in await asyncio.gather(*made):
            yield json.dumps(answer) + "\n"


async def _answer_line(service: Service, request_id: str, line: bytes) -> dict[str, Any]:
    try:
        asked = DiagnoseRequest.model_validate_json(line)
        answer = await service.diagnose(request_id, asked)
    except ValidationError as error:
        return error_body(request_id, "invalid", _problems(error.errors()))
    except Refused as error:
        return error_body(request_id, error.reason, error.message)
    return answer.model_dump(mode="json")


def _in_form(answer: Answer, accept: str) -> Response:
    if "text/csv" in accept:
        return PlainTextResponse(as_csv(answer), media_type="text/csv")
    if "application/vnd.ga4gh.phenopacket+json" in accept:
        return JSONResponse(as_interpretations(answer))
    return JSONResponse(answer.model_dump(mode="json"))


def _id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"Retry-After": str(RETRY_AFTER)} if error.status in (429, 503) else {}
    body = error_body(_id(request), error.reason, error.message)
    return JSONResponse(body, error.status, headers)


def _unusable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unusable)
    return JSONResponse(error_body(_id(request), error.reason, str(error)), 422)


def _invalid(request: Request, error: Exception) -> Response:
    """Says where and why, and never repeats what was sent."""
    assert isinstance(error, RequestValidationError | ValidationError)
    return JSONResponse(error_body(_id(request), "invalid", _problems(error.errors())), 422)


def _problems(errors: Any) -> str:
    found = [f"{'.'.join(map(str, e['loc'])) or 'request'}: {e['msg']}" for e in list(errors)[:5]]
    return "; ".join(found)
