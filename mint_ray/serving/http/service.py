"""Calls of the routes to the students: Ray Serve handles, deadlines and typed errors."""

import asyncio
import logging
from typing import Any

from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from mint_ray.config.serving import ServingConfig
from mint_ray.errors import ServingError
from mint_ray.serving.api.answers import Answer, Refusal, Reply
from mint_ray.serving.api.requests import DiagnoseRequest, Options

logger = logging.getLogger(__name__)


class RequestRefused(ServingError):  # noqa: N818 - a request's fate
    """A request that gets an error: HTTP `status`, `reason` for programs, a message for people."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Service:
    """Client of the student deployments, for the routes.

    Args:
        text: handle of the students of notes; None if none is served.
        vision: handle of the students of images; None if none is served.
        config: the deadline of a request (seconds) and the names of further students.
    """

    def __init__(
        self,
        text: DeploymentHandle | None,
        vision: DeploymentHandle | None,
        config: ServingConfig,
    ) -> None:
        self._handles = {"text": text, "vision": vision}
        self._timeout = config.timeout_seconds
        self._further = {
            name
            for student in (config.text, config.vision)
            if student
            for name in student.more_models
        }

    async def diagnose(self, request_id: str, request: DiagnoseRequest) -> Answer:
        """Answer a request about a patient, with a student of notes.

        Raises:
            RequestRefused: no such student, an unusable request, full queues, or no answer in time.
        """
        handle = self._handle("text", "notes", request.model)
        call = handle.diagnose.remote(request_id, request)
        return await self._answer(request_id, call)

    async def tissue(self, request_id: str, image: bytes, options: Options) -> Answer:
        """Answer a request about an encoded image, with a student of images.

        Raises:
            RequestRefused: as for `diagnose`.
        """
        handle = self._handle("vision", "images", options.model)
        call = handle.tissue.remote(request_id, image, options)
        return await self._answer(request_id, call)

    async def models(self, request_id: str) -> list[dict[str, Any]]:
        """List the models of all deployments, each with its `kind`, `text` or `vision`.

        Raises:
            RequestRefused: a deployment does not answer.
        """
        handles = {kind: handle for kind, handle in self._handles.items() if handle is not None}
        calls = (self._wait(request_id, handle.about.remote()) for handle in handles.values())
        listed = await asyncio.gather(*calls)
        return [
            {"kind": kind, **model}
            for kind, models in zip(handles, listed, strict=True)
            for model in models
        ]

    def _handle(self, kind: str, inputs: str, model: str | None) -> DeploymentHandle:
        handle = self._handles[kind]
        if handle is None:
            raise RequestRefused(
                404, "no_model", f"no model that answers about {inputs} is served here"
            )
        return handle.options(multiplexed_model_id=model) if model in self._further else handle

    async def _answer(self, request_id: str, call: Any) -> Answer:
        reply: Reply = await self._wait(request_id, call)
        if isinstance(reply, Refusal):
            raise RequestRefused(reply.status, reply.reason, reply.message)
        return reply

    async def _wait(self, request_id: str, call: Any) -> Any:
        try:
            return await asyncio.wait_for(call, self._timeout)
        except TimeoutError as error:
            text = f"no answer within {self._timeout:g} seconds"
            raise RequestRefused(504, "timeout", text) from error
        except BackPressureError as error:
            raise RequestRefused(429, "busy", "all queues are full; try again later") from error
        # Whatever the cause (a replica that died, a cluster out of reach), the caller may retry.
        except Exception as error:
            logger.error("request %s: a replica failed: %s", request_id, type(error).__name__)
            raise RequestRefused(
                503, "unavailable", "the model is not available; try again later"
            ) from error
