"""The service's ASGI application in this process, in front of handles that a test plays."""

from collections.abc import Callable
from typing import Any

import httpx2 as httpx

from mint_ray.config.serving import ServingConfig
from mint_ray.serving.api.answers import Answer, Entry, ModelInfo, NoneOfThese
from mint_ray.serving.api.requests import DiagnoseRequest
from mint_ray.serving.http.app import make_app
from mint_ray.serving.http.guard import Guard
from mint_ray.serving.http.service import Service
from tests import still_clock


def answer_of(request_id: str, reason: str | None = None) -> Answer:
    """What a replica replies."""
    entry = Entry(
        rank=1, id="OMIM:1", name="Alpha syndrome", ids=["OMIM:1"], probability=0.5, in_set=None
    )
    return Answer(
        request_id=request_id,
        model=ModelInfo(name="tiny", version="1", coverage=None),
        ranking=[entry],
        set_size=None,
        none_of_these=NoneOfThese(p_value=None, flagged=reason is not None, reason=reason),
        findings=[],
        shortened=False,
    )


class Handle:
    """A deployment's handle, whose methods a test plays: coroutines of the method's arguments."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        self._methods, self.calls = methods, list[str]()

    def options(self, **_: Any) -> "Handle":
        return self

    def __getattr__(self, name: str) -> Any:
        outer = self

        class Method:
            def remote(self, *args: Any) -> Any:
                outer.calls.append(name)
                return outer._methods[name](*args)

        return Method()


async def diagnose(request_id: str, request: DiagnoseRequest) -> Answer:
    """A replica that answers at once."""
    return answer_of(request_id)


def app_of(handle: Any, **settings: Any) -> Guard:
    config = ServingConfig.model_validate(settings)
    return make_app(Service(handle, handle, config), config)


def ask(app: Guard, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    """Responses to requests, one after the other, in one event loop."""

    async def run() -> list[httpx.Response]:
        transport: Any = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.request(method, path, **more) for method, path, more in requests]

    return still_clock.run(run())
