"""HTTP application of the service: routes, error responses and streams, run by Ray Serve."""

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
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from mint_ray import __version__
from mint_ray.config.serving import LOOPBACK, ServingConfig
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
from mint_ray.serving.http.bodies import MOST_JSON_BYTES, check_parts, split_lines
from mint_ray.serving.http.guard import Guard, error_body
from mint_ray.serving.http.health import Health
from mint_ray.serving.http.security import ApiKeys, RateLimit
from mint_ray.serving.http.service import RequestRefused, Service

RETRY_AFTER = 1
"""Seconds after which a client may repeat a request that found all queues full."""
LINES_AT_ONCE = 16
"""Lines of a batch that are answered at the same time."""
LINE_TRIES = 60
"""Attempts for a line of a batch, `RETRY_AFTER` seconds apart, while all queues are full or a
replica is being replaced."""

JSON, CSV, PHENOPACKET = "application/json", "text/csv", "application/vnd.ga4gh.phenopacket+json"

Accept = Annotated[str, Header()]


def make_app(service: Service, config: ServingConfig, *, needs_keys: bool = False) -> Guard:
    """Build the ASGI application with its routes, behind the guard.

    Args:
        service: client of the students.
        config: limits, and where keys are.
        needs_keys: whether requests need a key even if this process knows none.
    """
    # No redirection of "/v1/diagnose/": its Location repeats what the client wrote.
    app = FastAPI(
        title="mint_ray",
        version=__version__,
        redoc_url=None,
        docs_url=None,
        redirect_slashes=False,
    )
    _add_model_routes(app, service)
    _add_status_routes(app, service)
    for path in static.paths():
        app.add_api_route(path, _static(path), include_in_schema=False)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    counted = counts.RequestCounts([*app.openapi()["paths"], *static.paths()])

    @app.get("/metrics", responses=ERRORS, response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return counts and times of requests, in Prometheus' text format."""
        return PlainTextResponse(counted.text(), media_type=counts.MEDIA_TYPE)

    app.openapi_schema = None  # cached by the call of openapi() above, without /metrics
    keys = ApiKeys(config.api_keys, required=needs_keys)
    limit = RateLimit(config.requests_per_minute)
    return Guard(
        app,
        keys,
        limit,
        config.max_body_bytes,
        body_seconds=config.body_seconds,
        hosts=config.allowed_hosts or (() if keys.required else LOOPBACK),
        proxies=config.trusted_proxies,
        count=counted.count,
    )


def _add_model_routes(app: FastAPI, service: Service) -> None:
    @app.post("/v1/diagnose", response_model=Answer, responses=TABLES, openapi_extra=DIAGNOSE)
    async def diagnose(request: Request, accept: Accept = JSON) -> Response:
        """Rank the catalogue's diseases for a patient."""
        parsed = DiagnoseRequest.model_validate_json(check_parts(await request.body()))
        return _negotiated(await service.diagnose(_id(request), parsed), accept)

    @app.post("/v1/tissue", response_model=Answer, responses=TABLES, openapi_extra=TISSUE)
    async def tissue(
        request: Request,
        options: Annotated[Options, Query()],
        accept: Accept = JSON,
    ) -> Response:
        """Rank tissues for an image.

        The body is the image's bytes, a form with the file `image`, or JSON with base64. The
        options are in the query, in the form or in the JSON.
        """
        image, options = await _image_of(request, options)
        return _negotiated(await service.tissue(_id(request), image, options), accept)

    @app.post("/v1/batch", responses=LINES, response_class=StreamingResponse, openapi_extra=BATCH)
    async def batch(request: Request) -> StreamingResponse:
        """Answer JSON lines of `/v1/diagnose` requests as JSON lines, in the same order."""
        lines = split_lines(await request.body())
        stream = _answer_lines(service, _id(request), lines, request.scope["state"]["take"])
        return StreamingResponse(stream, media_type="application/jsonl")

    @app.post("/v1/chat/completions", responses=CHATS, openapi_extra=CHAT)
    async def chat(request: Request) -> Response:
        """Return the ranking as a chat completion, for clients of OpenAI's API."""
        parsed = ChatRequest.model_validate_json(check_parts(await request.body()))
        image = parsed.image()
        if image is not None:
            answer = await service.tissue(_id(request), image, Options(model=parsed.model))
        else:
            patient = DiagnoseRequest(note=parsed.note(), model=parsed.model)
            answer = await service.diagnose(_id(request), patient)
        if parsed.stream:
            return StreamingResponse(as_chat_events(answer), media_type="text/event-stream")
        return JSONResponse(as_chat(answer))


def _add_status_routes(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", responses=ERRORS)
    async def models(request: Request) -> dict[str, Any]:
        """List the models that answer requests, with the lineage of those that are loaded."""
        entries = [_model_entry(model) for model in await service.models(_id(request))]
        return {"object": "list", "data": entries}

    health = Health(lambda: service.models("healthz"))

    @app.get("/healthz", responses=ERRORS)
    async def healthz() -> dict[str, str]:
        """Check that every model answers; `busy` where one works and its queue is full."""
        return {"status": await health.state()}


def _model_entry(model: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a model with the keys that OpenAI's clients expect."""
    details = {key: value for key, value in model.items() if key not in ("name", "loaded")}
    head = {"id": model["name"], "object": "model", "owned_by": "mint_ray"}
    return {**head, "created": model.get("loaded", 0), **details}


async def _image_of(request: Request, options: Options) -> tuple[bytes, Options]:
    """Return the encoded image and the options of a request, by its content type."""
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith("application/json"):
        parsed = TissueRequest.model_validate_json(check_parts(await request.body()))
        # Validated already; a copy without the image, which would travel with the options.
        options = Options.model_construct(**parsed.model_dump(exclude={"image"}))
        return decode_image(parsed.image), options
    if not kind.startswith("multipart/form-data"):
        return await request.body(), options
    async with request.form(max_files=1, max_fields=8) as form:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise UnusableRequest("no_image", "expected a file named image in the form, found none")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        return await image.read(), Options.model_validate(fields) if fields else options


async def _answer_lines(
    service: Service, request_id: str, lines: list[bytes], take: Callable[[], float]
) -> AsyncIterator[str]:
    """Yield the answers to lines, `LINES_AT_ONCE` of which are computed at the same time.

    Args:
        service: client of the students.
        request_id: id of the batch.
        lines: requests.
        take: takes one request from the caller's rate limit, or returns the seconds until there is
            one. The first line has that of the batch.
    """
    for start in range(0, len(lines), LINES_AT_ONCE):
        pending = []
        for number, line in enumerate(lines[start : start + LINES_AT_ONCE], start):
            while number and (wait := take()) > 0:
                await asyncio.sleep(wait)
            pending.append(_answer_line(service, f"{request_id}-{number}", line))
        for answer in await asyncio.gather(*pending):
            yield json.dumps(answer) + "\n"


async def _answer_line(service: Service, request_id: str, line: bytes) -> dict[str, Any]:
    if len(line) > MOST_JSON_BYTES:
        text = f"expected a line of at most {MOST_JSON_BYTES} bytes"
        return error_body(request_id, "too_large", text)
    try:
        parsed = DiagnoseRequest.model_validate_json(check_parts(line))
        return (await _diagnose_with_retries(service, request_id, parsed)).model_dump(mode="json")
    except ValidationError as error:
        return error_body(request_id, "invalid", _problems(error.errors()))
    except RequestRefused as error:
        return error_body(request_id, error.reason, str(error))


async def _diagnose_with_retries(
    service: Service, request_id: str, request: DiagnoseRequest
) -> Answer:
    """Answer a line of a batch, and try again while the students are busy or being replaced.

    A client with one request should decide that itself; a batch has no reason to fail.
    """
    for _ in range(LINE_TRIES - 1):
        try:
            return await service.diagnose(request_id, request)
        except RequestRefused as error:
            if error.status not in (429, 503):
                raise
            await asyncio.sleep(RETRY_AFTER)
    return await service.diagnose(request_id, request)


def _static(path: str) -> Callable[[], Response]:
    content, kind = static.read(path)
    return lambda: Response(content, media_type=kind)


def _negotiated(answer: Answer, accept: str) -> Response:
    """Return the answer in the form that the client prefers, JSON if it takes none of them."""
    match parse_accept_header(accept, MIMEAccept).best_match((JSON, CSV, PHENOPACKET), JSON):
        case "text/csv":
            return PlainTextResponse(as_csv(answer), media_type=CSV)
        case "application/vnd.ga4gh.phenopacket+json":
            return JSONResponse(as_interpretations(answer))
        case _:
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
    """Report the invalid fields and why they are invalid, without repeating the request."""
    assert isinstance(error, RequestValidationError | ValidationError)
    return JSONResponse(error_body(_id(request), "invalid", _problems(error.errors())), 422)


def _http(request: Request, error: Exception) -> Response:
    """Report an unknown route, an unknown method or an unreadable form in the common form."""
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
    """Return fields and reasons of the first five errors.

    Values, and names of unknown fields, are left out: they come from the client, and may be parts
    of a note.
    """
    return "; ".join(f"{_field(error)}: {error['msg']}" for error in list(errors)[:5])


def _field(error: Any) -> str:
    is_unknown = error["type"] == "extra_forbidden"
    path = error["loc"][:-1] if is_unknown else error["loc"]
    return ".".join(map(str, path)) or "request"
