"""OpenAPI descriptions of error bodies and of request bodies that the routes parse themselves."""

from typing import Any

from pydantic import BaseModel, Field

from mint_ray.serving.api.chat import ChatRequest
from mint_ray.serving.api.requests import DiagnoseRequest, Options, TissueRequest


class ErrorDetail(BaseModel):
    """The reason why a request got no answer."""

    reason: str = Field(description="A code for programs.")
    message: str = Field(description="A sentence for people; it never repeats the request.")
    request_id: str


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a model with all references inlined.

    References are relative to the root of a document, and this schema becomes a part of another.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inlined(definitions[node["$ref"].rsplit("/", 1)[1]])
        return {key: inlined(value) for key, value in node.items()}

    return dict(inlined(schema))


def _body(**content: Any) -> dict[str, Any]:
    kinds = {
        kind.replace("_", "/", 1).replace("_", "-"): {"schema": schema}
        for kind, schema in content.items()
    }
    return {"requestBody": {"required": True, "content": kinds}}


_BYTES = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {"image": _BYTES, **_schema(Options)["properties"]},
    "required": ["image"],
}

DIAGNOSE = _body(application_json=_schema(DiagnoseRequest))
TISSUE = _body(
    application_octet_stream=_BYTES,
    multipart_form_data=_FORM,
    application_json=_schema(TissueRequest),
)
BATCH = _body(application_jsonl={"type": "string"})
CHAT = _body(application_json=_schema(ChatRequest))


def _answers(*kinds: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {kind: {"schema": {"type": "string"}} for kind in kinds}}}


ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "No valid API key."},
    403: {"model": ErrorBody, "description": "Asked by a foreign name or from a foreign page."},
    404: {"model": ErrorBody, "description": "No such model is served."},
    408: {"model": ErrorBody, "description": "The body arrived too slowly."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    422: {"model": ErrorBody, "description": "The request cannot be answered as it is."},
    429: {"model": ErrorBody, "description": "Too many requests; see Retry-After."},
    503: {"model": ErrorBody, "description": "The model is not available; see Retry-After."},
    504: {"model": ErrorBody, "description": "No answer in time."},
}
TABLES = ERRORS | _answers("text/csv")
LINES = ERRORS | _answers("application/jsonl")
CHATS = ERRORS | _answers("text/event-stream")
