"""The service over HTTP: routes, errors, streams. Ray Serve runs it; replicas do the work."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from mint_ray import __version__
from mint_ray.config.serving import ServingConfig
from mint_ray.serving.api.answers import Answer
from mint_ray.serving.api.chat import ChatRequest, as_chat, as_chat_events
from mint_ray.serving.api.formats import as_csv, as_interpretations
from mint_ray.serving.api.openapi import BATCH, CHAT, CHATS, DIAGNOSE, ERRORS, LINES, TABLES, TISSUE
from mint_ray.serving.api.requests import (
    DiagnoseRequest,
    Options,
    TissueRequest,
    UnusableRequest,
    decode_image,
)
from mint_ray.serving.http import metrics as counts
from mint_ray.serving.http import static
from mint_ray.serving.http.guard import Guard, error_body
from mint_ray.serving.http.security import ApiKeys, RateLimit
from mint_ray.serving.http.service import RequestRefused, Service

RETRY_AFTER = 1
"""Seconds after which a request that met a full queue may come again."""
LINES_AT_ONCE = 16
"""Lines of a batch that are answered at the same time."""
MOST_LINES = 10_000
LINE_TRIES = 60

Accept = Annotated[str, Header()]


def make_app(service: Service, config: ServingConfig) -> Guard:
    """The guarded ASGI application."""
    app = FastAPI(title="mint_ray", version=__version__, redoc_url=None, docs_url=None)
    _add_questions(app, service)
    _add_state(app, service)
    for path in static.paths():
        app.add_api_route(path, _static(path), include_in_schema=False)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    counted = counts.RequestCounts([*app.openapi()["paths"], *static.paths()])

    @app.get("/metrics", responses=ERRORS, response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times, in Prometheus' text format."""
        return PlainTextResponse(counted.text(), media_type=counts.MEDIA_TYPE)

    app.openapi_schema = None  # made anew, with the route above
    keys, limit = ApiKeys(config.api_keys), RateLimit(config.requests_per_minute)
    return Guard(app, keys, limit, config.max_body_bytes, counted.count)


def _add_questions(app: FastAPI, service: Service) -> None:
    @app.post("/v1/diagnose", response_model=Answer, responses=TABLES, openapi_extra=DIAGNOSE)
    async def diagnose(request: Request, accept: Accept = "application/json") -> Response:
        """Rank the catalogue's diseases for a patient."""
        asked = DiagnoseRequest.model_validate_json(await request.body())
        return _in_form(await service.diagnose(_id(request), asked), accept)

    @app.post("/v1/tissue", response_model=Answer, responses=TABLES, openapi_extra=TISSUE)
    async def tissue(
        request: Request,
        options: Annotated[Options, Query()],
        accept: Accept = "application/json",
    ) -> Response:
        """Rank tissues for an image: its bytes, a form with the file `image`, or JSON with base64.

        The options stand in the query, in the form or in the JSON.
        """
        image, options = await _image_of(request, options)
        return _in_form(await service.tissue(_id(request), image, options), accept)

    @app.post("/v1/batch", responses=LINES, response_class=StreamingResponse, openapi_extra=BATCH)
    async def batch(request: Request) -> StreamingResponse:
        """JSON lines of `/v1/diagnose` requests; answers as JSON lines, in their order."""
        lines = (await request.body()).splitlines()
        if len(lines) > MOST_LINES:
            raise RequestRefused(413, "too_many_lines", f"expected at most {MOST_LINES} lines")
        stream = _answer_lines(service, _id(request), lines)
        return StreamingResponse(stream, media_type="application/jsonl")

    @app.post("/v1/chat/completions", responses=CHATS, openapi_extra=CHAT)
    async def chat(request: Request) -> Response:
        """The ranking as a chat completion, for clients that speak OpenAI's API."""
        asked = ChatRequest.model_validate_json(await request.body())
        seen = asked.asked()
        if isinstance(seen, bytes):
            answer = await service.tissue(_id(request), seen, Options(model=asked.model))
        else:
            question = DiagnoseRequest(note=seen, model=asked.model)
            answer = await service.diagnose(_id(request), question)
        if asked.stream:
            return StreamingResponse(as_chat_events(answer), media_type="text/event-stream")
        return JSONResponse(as_chat(answer))


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", responses=ERRORS)
    async def models() -> dict[str, Any]:
        """Which models answer, and what they were made from."""
        found = [_listed(model) for model in await service.models()]
        return {"object": "list", "data": found}

    @app.get("/healthz", responses=ERRORS)
    async def healthz() -> dict[str, str]:
        """Whether every model answers."""
        await service.models()
        return {"status": "ok"}


def _listed(model: dict[str, Any]) -> dict[str, Any]:
    """A model with the keys that OpenAI's clients expect."""
    rest = {key: value for key, value in model.items() if key not in ("name", "loaded")}
    head = {"id": model["name"], "object": "model", "owned_by": "mint_ray"}
    return {**head, "created": model.get("loaded", 0), **rest}


async def _image_of(request: Request, options: Options) -> tuple[bytes, Options]:
    """The encoded image of a request, and its options."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        asked = TissueRequest.model_validate_json(await request.body())
        return decode_image(asked.image), Options(**asked.model_dump(exclude={"image"}))
    if not kind.startswith("multipart/form-data"):
        return await request.body(), options
    async with request.form(max_files=1, max_fields=8) as form:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise UnusableRequest("no_image", "expected a file named image in the form, found none")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        return await image.read(), Options.model_validate(fields or options.model_dump())


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
        return (await _patiently(service, request_id, asked)).model_dump(mode="json")
    except ValidationError as error:
        return error_body(request_id, "invalid", _problems(error.errors()))
    except RequestRefused as error:
        return error_body(request_id, error.reason, str(error))


async def _patiently(service: Service, request_id: str, asked: DiagnoseRequest) -> Answer:
    """A batch is in no hurry: where queues are full, its lines come again."""
    for _ in range(LINE_TRIES - 1):
        try:
            return await service.diagnose(request_id, asked)
        except RequestRefused as error:
            if error.status != 429:
                raise
            await asyncio.sleep(RETRY_AFTER)
    return await service.diagnose(request_id, asked)


def _static(path: str) -> Callable[[], Response]:
    content, kind = static.read(path)
    return lambda: Response(content, media_type=kind)


def _in_form(answer: Answer, accept: str) -> Response:
    if "text/csv" in accept:
        return PlainTextResponse(as_csv(answer), media_type="text/csv")
    if "application/vnd.ga4gh.phenopacket+json" in accept:
        return JSONResponse(as_interpretations(answer))
    return JSONResponse(answer.model_dump(mode="json"))


def _id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    headers = {"Retry-After": str(RETRY_AFTER)} if error.status in (429, 503) else {}
    return JSONResponse(error_body(_id(request), error.reason, str(error)), error.status, headers)


def _unusable(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnusableRequest)
    return JSONResponse(error_body(_id(request), error.reason, str(error)), 422)


def _invalid(request: Request, error: Exception) -> Response:
    """Says where and why, and never repeats what was sent."""
    assert isinstance(error, RequestValidationError | ValidationError)
    return JSONResponse(error_body(_id(request), "invalid", _problems(error.errors())), 422)


def _http(request: Request, error: Exception) -> Response:
    """No such route, no such method, a form that cannot be read."""
    assert isinstance(error, HTTPException)
    reason = {404: "no_route", 405: "no_method"}.get(error.status_code, "invalid")
    text = f"this request cannot be answered ({error.status_code}); see /openapi.json"
    return JSONResponse(error_body(_id(request), reason, text), error.status_code, error.headers)


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Response]] = {
    RequestRefused: _refused,
    UnusableRequest: _unusable,
    RequestValidationError: _invalid,
    ValidationError: _invalid,
    HTTPException: _http,
}


def _problems(errors: Any) -> str:
    """Where and why. Names that the request made up are left out, like its values."""
    found = [f"{_place(error)}: {error['msg']}" for error in list(errors)[:5]]
    return "; ".join(found)


def _place(error: Any) -> str:
    made_up = error["type"] == "extra_forbidden"
    place = error["loc"][:-1] if made_up else error["loc"]
    return ".".join(map(str, place)) or "request"
