"""Common parts of the benchmarks of the service: deployment, clients, notes and summaries."""

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
from mint_ray.serving.http.front import put_before_proxies

PATH = "/v1/diagnose"
BACK_OFF = 0.25
"""Seconds that a client waits after a request without an answer."""
TOLERANCE = 1e-4
"""Largest difference of a probability between an answer alone and one from a batch."""


@dataclass(frozen=True)
class Reply:
    """Outcome of one request."""

    at: float
    """Time of sending, in seconds since the load began."""
    seconds: float
    """Time to the reply."""
    status: int
    """HTTP status; 0 without a reply."""
    right: bool
    """Whether the answer is the one that the note gets alone."""
    retry_after: bool
    """Whether the reply has the header `Retry-After`."""
    typed: bool
    """Whether the reply is an answer, or an error in the service's form."""


def finished_student(config: str) -> tuple[Path, list[str]]:
    """Return the folder of a config's student, and the notes of its test cases.

    Raises:
        SystemExit: the student is not trained yet.
    """
    loaded = load_run(config, [])
    planned = pipeline.plan(loaded)
    if not planned["train"].complete:
        raise SystemExit(f"the student of {config} is not trained yet; run mint run {config}")
    cases = pq.read_table(planned["cases"].folder / "cases.parquet", columns=["split", "note"])
    notes = cases.filter(pc.equal(cases["split"], "test"))["note"].to_pylist()
    return planned["train"].folder, notes


def start(**more: Any) -> str:
    """Start Ray and Serve on a free port; return the URL of the service.

    Args:
        more: settings of `resources`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    from mint_ray.config.resources import ResourcesConfig

    put_before_proxies()
    connect(ResourcesConfig(**more))
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port, request_timeout_s=300))
    return f"http://127.0.0.1:{port}"


def deploy(student: str, tracking: str = "sqlite:///none.db", **settings: Any) -> None:
    """Deploy the service with one student of notes, in place of an earlier deployment.

    Args:
        student: folder of the student, or its URI in the registry.
        tracking: MLflow's tracking URI.
        settings: settings of `serving.text`.
    """
    text = {"student": student, "min_replicas": 1, "max_replicas": 1, **settings}
    limits = {"timeout_seconds": 60, "requests_per_minute": 10**6}
    config = ServingConfig.model_validate({"text": text, **limits})
    serve.run(build(config, tracking), name="mint", route_prefix="/")


async def ask(
    session: aiohttp.ClientSession, url: str, note: str, alone: Sequence[Any] | None, began: float
) -> Reply:
    """Send a request and judge its reply.

    Args:
        alone: ranking that the note gets alone; None to accept any answer.
        began: start of the load, on the clock `time.perf_counter`.
    """
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
    """Return ids and probabilities of an answer; the text alone if it has no ranking."""
    if "ranking" not in body:
        return [(str(body), 0.0)]
    return [(entry["id"], entry["probability"]) for entry in body["ranking"]]


def same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Return whether two rankings are equal up to rounding of probabilities."""
    return [a for a, _ in first] == [b for b, _ in second] and all(
        abs(p - q) < TOLERANCE for (_, p), (_, q) in zip(first, second, strict=True)
    )


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=310)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))


async def one_by_one(url: str, notes: Sequence[str]) -> list[list[tuple[str, float]]]:
    """Return the ranking that each note gets alone."""
    rankings = []
    async with _session() as session:
        for note in notes:
            async with session.post(url + PATH, json={"note": note}) as response:
                response.raise_for_status()
                rankings.append(ranking_of(await response.json()))
    return rankings


async def closed_loop(
    url: str, notes: Sequence[str], alone: Sequence[Any] | None, clients: int, seconds: float
) -> list[Reply]:
    """Run clients that each send the next request as soon as they have a reply."""
    began = time.perf_counter()

    async def client(session: aiohttp.ClientSession, number: int) -> list[Reply]:
        replies, count = [], number
        while time.perf_counter() - began < seconds:
            index = count % len(notes)
            expected = None if alone is None else alone[index]
            replies.append(await ask(session, url, notes[index], expected, began))
            count += clients
        return replies

    async with _session() as session:
        parts = await asyncio.gather(*(client(session, number) for number in range(clients)))
    return sorted((reply for part in parts for reply in part), key=lambda reply: reply.at)


async def open_loop(
    url: str, notes: Sequence[str], alone: Sequence[Any], per_second: float, seconds: float
) -> list[Reply]:
    """Send requests at a steady rate, without waiting for replies."""
    began = time.perf_counter()
    tasks: list[asyncio.Task[Reply]] = []
    async with _session() as session:
        for number in range(round(per_second * seconds)):
            pause = began + number / per_second - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            index = number % len(notes)
            request = ask(session, url, notes[index], alone[index], began)
            tasks.append(asyncio.create_task(request))
        return list(await asyncio.gather(*tasks))


def write_result(out: Path, command: str, measured: dict[str, Any]) -> None:
    """Write measured figures as JSON, with date, machine and versions."""
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "hardware": hardware(),
        "versions": package_versions(),
        **measured,
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def summary(replies: Sequence[Reply], seconds: float) -> dict[str, Any]:
    """Summarise replies: rate and quantiles (seconds) of answers, and outcomes of all requests.

    Args:
        seconds: duration of the load.
    """
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
    """Return descendant processes whose command lines contain one of the words."""
    matching = []
    for process in psutil.Process().children(recursive=True):
        with _ignore_ended():
            if any(word in " ".join(process.cmdline()) for word in words):
                matching.append(process)
    return matching


def footprint() -> dict[str, float]:
    """Measure memory (MiB) and open handles of Serve's processes, and the object store (bytes)."""
    memory, handles = 0, 0
    for process in processes("ray::Serve", "ray::Proxy"):
        with _ignore_ended():
            memory += process.memory_info().rss
            handles += process.num_fds()
    total, free = ray.cluster_resources(), ray.available_resources()
    stored = total["object_store_memory"] - free.get("object_store_memory", 0)
    return {"mib": round(memory / 2**20, 1), "handles": handles, "object_store_bytes": int(stored)}


@contextmanager
def _ignore_ended() -> Iterator[None]:
    try:
        yield
    except psutil.Error:
        return


async def sampled(
    load: Awaitable[list[Reply]], probe: Callable[[], dict[str, Any]], period: float
) -> tuple[list[Reply], list[dict[str, Any]]]:
    """Run a load, and sample a probe every `period` seconds; return replies and samples."""
    began, rows = time.perf_counter(), []
    task = asyncio.ensure_future(load)
    while not task.done():
        values = await asyncio.to_thread(probe)
        rows.append({"at": round(time.perf_counter() - began, 1), **values})
        await asyncio.wait([task], timeout=period)
    return await task, rows
