"""Health of the service, asked for by anybody and as often as they like."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from mint_ray.serving.http.service import RequestRefused

REMEMBERED_SECONDS = 1.0


class Health:
    """Answers of `/healthz`: one question to the models at a time, whoever asks.

    The route needs no key and has no rate limit, so its callers share one question and its answer,
    and never fill the queues of those who have a key.

    Args:
        ask: asks every model.
        clock: current time in seconds.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[object]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._clock = ask, clock
        self._asked: asyncio.Task[str] | None = None
        self._at = 0.0

    async def state(self) -> str:
        """Return `ok`, or `busy` where a model works and its queue is full.

        Raises:
            RequestRefused: a model does not answer.
        """
        if self._asked is None or self._is_old(self._asked):
            self._at = self._clock()
            self._asked = asyncio.create_task(self._find_out())
        # A client that goes away must not end the question of the others.
        return await asyncio.shield(self._asked)

    def _is_old(self, asked: asyncio.Task[str]) -> bool:
        return asked.done() and self._clock() - self._at > REMEMBERED_SECONDS

    async def _find_out(self) -> str:
        try:
            await self._ask()
        except RequestRefused as error:
            if error.status != 429:
                raise
            return "busy"
        return "ok"
