"""Client of an OpenAI-compatible server: one call a question, with retries and a rate limit.

Neither notes, images and answers nor the key are logged or shown: errors of the server may repeat
the prompt, so only their kind is told.
"""

import logging
import os
import threading
import time
from typing import Any

import openai

from mint_ray.config.teacher import ServerConfig
from mint_ray.errors import TeacherError
from mint_ray.teachers.endpoint.questions import Question
from mint_ray.teachers.endpoint.replies import Reply, read_completion

_NO_KEY = "none"  # the client insists on one; servers without keys ignore it
_REFUSED = {
    401: "the key is refused: set the environment variable {env} where the step runs",
    403: "the key may not use the model",
    404: "no such address or model: check the settings base_url and model",
}


class NoReplyError(Exception):
    """A question got no reply although it was repeated; it may be asked again later."""


class Pace:
    """Limit of a rate, shared by threads: each caller waits for its turn."""

    def __init__(self, per_minute: float | None) -> None:
        self._interval = 60 / per_minute if per_minute else 0.0
        self._lock, self._next = threading.Lock(), 0.0

    def wait(self) -> None:
        """Return when the next request may be sent."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        time.sleep(turn - now)


class EndpointClient:
    """Client of the configured server, for several threads.

    Attributes:
        sent: number of HTTP requests so far, repeated ones included.
    """

    def __init__(self, config: ServerConfig) -> None:
        for name in ("openai", "httpx2", "httpx"):  # at DEBUG they would log what is sent
            logging.getLogger(name).setLevel(logging.WARNING)
        self._config, self.sent = config, 0
        self._pace, self._lock = Pace(config.requests_per_minute), threading.Lock()
        self._client = openai.OpenAI(
            base_url=config.base_url,
            api_key=os.environ.get(config.api_key_env) or _NO_KEY,
            timeout=config.timeout,
            max_retries=config.retries,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [self._before]}),
        )

    def ask(self, question: Question) -> Reply:
        """Return the reply to a question; an empty one if the server refuses this question.

        Raises:
            TeacherError: the server refuses every question: its address, model or key is wrong.
            NoReplyError: the server gave no usable reply, or none in time.
        """
        further = {k: v for k, v in question.body.items() if k not in ("model", "messages")}
        try:
            completion: Any = self._client.chat.completions.create(
                model=question.body["model"],
                messages=question.body["messages"],
                extra_body=further,
            )
        except openai.APIStatusError as error:
            return self._refused(error.status_code)
        except (openai.OpenAIError, ValueError) as error:
            raise NoReplyError(type(error).__name__) from None
        reply = read_completion(completion)
        if reply is None:
            raise NoReplyError("no chat completion")
        return reply

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _refused(self, status: int) -> Reply:
        if status in _REFUSED:
            meaning = _REFUSED[status].format(env=self._config.api_key_env)
            raise TeacherError(f"{self._config.base_url}: answered {status}; {meaning}") from None
        if status in (408, 409, 429) or status >= 500:
            raise NoReplyError(f"HTTP {status}") from None
        return Reply("")  # this question is at fault, for instance too long

    def _before(self, request: Any) -> None:
        self._pace.wait()
        with self._lock:
            self.sent += 1
