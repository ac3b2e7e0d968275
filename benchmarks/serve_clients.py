"""What the benchmarks of the service share: the service in this process's Ray, clients, notes."""

import asyncio
import json
import socket
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
from ray import serve
from ray.serve.config import HTTPOptions
from record_run import hardware

from mint_ray.config.serving import ServingConfig
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.manifest import package_versions
from mint_ray.runtime.session import connect
from mint_ray.serving.deploy.application import build

PATH = "/v1/diagnose"
BACK_OFF = 0.25
"""Seconds that a client waits after it got no answer."""
TOLERANCE = 1e-4
"""Difference of a probability between an answer alone and one in company."""


@dataclass(frozen=True)
class Reply:
    """One request: when it was sent (seconds since the load began), how long it took, its status
    (0 where no answer came), whether the answer was the one that the note gets alone, and whether
    a refusal says when to come back; `typed` is an answer, or an error in the service's form."""

    at: float
    seconds: float
    status: int
    right: bool
    retry_after: bool
    typed: bool


def finished_student(config: str) -> tuple[Path, list[str]]:
    """Folder of a config's student, and the notes of its test cases.

    Raises:
        SystemExit: it is not trained yet.
    """
    loaded = load_run(config, [])
    planned = pipeline.plan(loaded)
    if not planned["train"].complete:
        raise SystemExit(f"the student of {config} is not trained yet: mint run {config}")
    cases = pq.read_table(planned["cases"].folder / "cases.parquet", columns=["split", "note"])
    notes = cases.filter(pc.equal(cases["split"], "test"))["note"].to_pylist()
    return planned["train"].folder, notes


def start(**more: Any) -> str:
    """Start Ray and Serve; the address that Serve will listen on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    from mint_ray.config.resources import ResourcesConfig

    connect(ResourcesConfig(**more))
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port, request_timeout_s=300))
    return f"http://127.0.0.1:{port}"


def deploy(student: str, tracking: str = "sqlite:///none.db", **settings: Any) -> None:
    """The service with one student of notes, in place of what was deployed before."""
    text = {"student": student, "min_replicas": 1, "max_replicas": 1, **settings}
    limits = {"timeout_seconds": 60, "requests_per_minute": 10**6}
    config = ServingConfig.model_validate({"text": text, **limits})
    serve.run(build(config, tracking), name="mint", route_prefix="/")


async def ask(
    session: aiohttp.ClientSession, url: str, note: str, alone: Sequence[Any] | None, began: float
) -> Reply:
    """One request, judged."""
    sent = time.perf_counter()
    status, right, retry, typed = 0, False, False, False
    try:
        async with session.post(url + PATH, json={"note": note}) as response:
            status, retry = response.status, "Retry-After" in response.headers
            body = await response.json()
            typed = status == 200 or "reason" in body["error"]
            right = status == 200 and (alone is None or same(alone, ranking_of(body)))
    except (aiohttp.ClientConnectionError, TimeoutError):
        status = 0
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        pass
    if status == 0:
        await asyncio.sleep(BACK_OFF)
    return Reply(sent - began, time.perf_counter() - sent, status, right, retry, typed)


def ranking_of(body: Any) -> list[tuple[str, float]]:
    """Ids and probabilities of an answer; of the peer, its text."""
    if "ranking" not in body:
        return [(str(body), 0.0)]
    return [(entry["id"], entry["probability"]) for entry in body["ranking"]]


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two rankings are the same but for rounding."""
    return [a for a, _ in one] == [b for b, _ in other] and all(
        abs(p - q) < TOLERANCE for (_, p), (_, q) in zip(one, other, strict=True)
    )


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=310)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))


async def one_by_one(url: str, notes: Sequence[str]) -> list[list[tuple[str, float]]]:
    """What each note gets alone."""
    found = []
    async with _session() as session:
        for note in notes:
            async with session.post(url + PATH, json={"note": note}) as response:
                response.raise_for_status()
                found.append(ranking_of(await response.json()))
    return found


async def closed_loop(
    url: str, notes: Sequence[str], alone: Sequence[Any] | None, clients: int, seconds: float
) -> list[Reply]:
    """Clients that each ask again as soon as they have an answer."""
    began = time.perf_counter()

    async def client(session: aiohttp.ClientSession, number: int) -> list[Reply]:
        own, at = [], number
        while time.perf_counter() - began < seconds:
            place = at % len(notes)
            twin = None if alone is None else alone[place]
            own.append(await ask(session, url, notes[place], twin, began))
            at += clients
        return own

    async with _session() as session:
        parts = await asyncio.gather(*(client(session, number) for number in range(clients)))
    return sorted((reply for part in parts for reply in part), key=lambda reply: reply.at)


async def open_loop(
    url: str, notes: Sequence[str], alone: Sequence[Any], per_second: float, seconds: float
) -> list[Reply]:
    """Requests at a steady rate, whatever becomes of them."""
    began = time.perf_counter()
    tasks: list[asyncio.Task[Reply]] = []
    async with _session() as session:
        for number in range(round(per_second * seconds)):
            pause = began + number / per_second - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            place = number % len(notes)
            asked = ask(session, url, notes[place], alone[place], began)
            tasks.append(asyncio.create_task(asked))
        return list(await asyncio.gather(*tasks))


def write_result(out: Path, command: str, found: dict[str, Any]) -> None:
    """Write what was measured, with date, machine and versions."""
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "hardware": hardware(),
        "versions": package_versions(),
        **found,
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def summary(replies: Sequence[Reply], seconds: float) -> dict[str, Any]:
    """Rates, quantiles of accepted requests' times, and what became of all."""
    accepted = sorted(reply.seconds for reply in replies if reply.status == 200)
    cuts = statistics.quantiles(accepted, n=100, method="inclusive") if len(accepted) > 1 else []
    quantiles = {f"p{q}": round(cuts[q - 1], 4) for q in (50, 95, 99)} if cuts else {}
    return {
        "requests": len(replies),
        "per_second": round(len(accepted) / seconds, 3),
        **quantiles,
        "statuses": {str(k): n for k, n in sorted(Counter(r.status for r in replies).items())},
        "wrong_answers": sum(r.status == 200 and not r.right for r in replies),
        "untyped_errors": sum(r.status > 0 and not r.typed for r in replies),
        "refusals_without_retry_after": sum(
            r.status in (429, 503) and not r.retry_after for r in replies
        ),
    }


def processes(*words: str) -> list[psutil.Process]:
    """Ray's processes below this one whose titles hold one of the words."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with _gone():
            if any(word in " ".join(process.cmdline()) for word in words):
                found.append(process)
    return found


def footprint() -> dict[str, float]:
    """Memory (MiB) and open handles of Serve's processes, bytes in the object store."""
    memory, handles = 0, 0
    for process in processes("ray::Serve", "ray::Proxy"):
        with _gone():
            memory += process.memory_info().rss
            handles += process.num_fds()
    total, free = ray.cluster_resources(), ray.available_resources()
    stored = total["object_store_memory"] - free.get("object_store_memory", 0)
    return {"mib": round(memory / 2**20, 1), "handles": handles, "object_store_bytes": int(stored)}


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except psutil.Error:
        return


async def sampled(
    load: Awaitable[list[Reply]], look: Callable[[], dict[str, Any]], every: float
) -> tuple[list[Reply], list[dict[str, Any]]]:
    """Run a load, and look at something from time to time."""
    began, rows = time.perf_counter(), []
    task = asyncio.ensure_future(load)
    while not task.done():
        seen = await asyncio.to_thread(look)
        rows.append({"at": round(time.perf_counter() - began, 1), **seen})
        await asyncio.wait([task], timeout=every)
    return await task, rows
