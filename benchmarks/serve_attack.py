"""Attack on the service with calibrated students of notes and of images, while neighbours ask.

    PYTHONPATH=. python benchmarks/serve_attack.py phenopackets.zip \\
        --out benchmarks/results/serve_attack.json

Both students come from the real chain, trained for two steps only: what they answer does not matter
here, but that it is the same under attack. The requests are those of tests/serving/http/attacks.py.
Three neighbours with a key of their own ask all the time, two about a note and one about an image.
Counted are statuses by kind of attack, answers of the neighbours, their longest wait, memory, and
files that hold a word which was only in requests.
"""

import argparse
import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import ray
import serve_clients as clients
import short_chain
from ray import serve
from yarl import URL

from mint_ray.config.serving import ServingConfig
from mint_ray.images.decode import sample_image
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.serving.deploy.application import build
from tests.serving.http import attacks
from tests.serving.http.attacks import Attack

COUNTS = {"texts": 280, "images": 810, "raw HTTP": 240, "keys": 120, "canaries": 80, "heavy": 24}
AT_ONCE = 6
DEADLINE = 30.0
"""Seconds in which a neighbour has its answer: the service's own limit."""
KEYS = ("an attacker's key", "a neighbour's key")
CANARY = "canary7f3a9c"
NOTE = {"note": "Tall stature and arachnodactyly. No seizures.", "top_k": 3}
LOGS = (".log", ".out", ".err", ".txt", ".json", ".jsonl", ".db", ".sqlite")


def bearer(key: str) -> dict[str, str]:
    """Return the header with a key."""
    return {"Authorization": f"Bearer {key}"}


def students(part: Path, work: Path, given: Mapping[str, str | None]) -> dict[str, str]:
    """Run the short chain of each student that is not given; return the students' folders."""
    folders = {}
    chains = {
        "text": (short_chain.CATALOGUE, [f"cases.path={part}"]),
        "vision": (short_chain.TISSUES, []),
    }
    for kind, (config, more) in chains.items():
        folder = given[kind]
        if folder is not None:
            folders[kind] = folder
            continue
        settings, _ = short_chain.promote(config, work, more)
        planned = pipeline.plan(load_run(config, settings))
        folders[kind] = str(planned["calibrate"].folder)
    return folders


class Neighbour:
    """A client that asks the same again and again.

    Args:
        session: HTTP client.
        url: address of the service.
        path: route.
        request: arguments of the request.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, path: str, **request: Any) -> None:
        self._session, self._url, self._request = session, url + path, request
        self.statuses: Counter[int] = Counter()
        self.wrong, self.seconds = 0, list[float]()

    async def ask(self) -> Any:
        """Return status and ranking of one request."""
        headers = bearer(KEYS[1])
        async with self._session.post(self._url, headers=headers, **self._request) as response:
            body = await response.json()
            return response.status, clients.ranking_of(body) if response.status == 200 else None

    async def keep_asking(self, stop: asyncio.Event) -> None:
        """Ask until told to stop, and count."""
        _, expected = await self.ask()
        while not stop.is_set():
            began = time.perf_counter()
            status, ranking = await self.ask()
            self.seconds.append(time.perf_counter() - began)
            self.statuses[status] += 1
            self.wrong += status == 200 and not clients.same(expected, ranking)
            await asyncio.sleep(0.1)


async def send(session: aiohttp.ClientSession, url: str, attack: Attack, *, key: bool) -> str:
    """Send an attack; return its status, with what is wrong about the reply if something is."""
    headers = [*attack.headers.items(), *(bearer(KEYS[0]).items() if key else ())]
    target = URL(url + attack.path, encoded=True)
    try:
        async with session.request(
            attack.method, target, data=attack.content, headers=headers, allow_redirects=False
        ) as response:
            text = (await response.read()).decode("utf-8", "replace")
    except (aiohttp.ClientError, ValueError) as error:
        return f"not sent: {type(error).__name__}"
    status = str(response.status)
    if response.status >= 400 and attack.method != "HEAD":
        try:
            body = json.loads(text)["error"]
            typed = bool(body["reason"] and body["message"] and body["request_id"])
        except (ValueError, KeyError, TypeError):
            typed = False
        status += "" if typed else " untyped"
    if CANARY in text or CANARY in str(response.headers):
        status += " repeats the word"
    return status


async def send_raw(url: str, data: bytes) -> str:
    """Send bytes on a connection of their own; return the status of the reply."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        async with asyncio.timeout(1):
            writer.write(data)
            line = await reader.readline()
    except (ConnectionError, TimeoutError, ValueError):
        line = b""
    finally:
        writer.close()
    return line.split(b" ")[1].decode() if line.startswith(b"HTTP/1.1 ") else "no reply"


async def attack_all(url: str, share: float) -> dict[str, Any]:
    """Send all kinds of attacks, one kind after the other, while the neighbours ask.

    Args:
        url: address of the service.
        share: share of `COUNTS` that is sent.
    """
    count = {kind: max(8, round(share * number)) for kind, number in COUNTS.items()}
    made: dict[str, Iterable[Any]] = {
        "texts": attacks.texts(count["texts"], 1),
        "images": attacks.images(count["images"], 1),
        "raw HTTP": attacks.raw(count["raw HTTP"], 1),
        "keys": attacks.bypasses(count["keys"], KEYS[0], 1),
        "canaries": attacks.canaries(count["canaries"], CANARY),
        "heavy": attacks.heavy(count["heavy"]),
    }
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    results: dict[str, Any] = {}
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        for kind, sent in made.items():
            asking = [
                Neighbour(session, url, "/v1/diagnose", json=NOTE),
                Neighbour(session, url, "/v1/diagnose", json={**NOTE, "explain": True}),
                Neighbour(session, url, "/v1/tissue", data=sample_image()),
            ]
            stop, places = asyncio.Event(), asyncio.Semaphore(AT_ONCE)
            tasks = [asyncio.create_task(one.keep_asking(stop)) for one in asking]

            async def one(item: Any, kind: str = kind, places: Any = places) -> str:
                async with places:
                    if isinstance(item, bytes):
                        return await send_raw(url, item)
                    return await send(session, url, item, key=kind != "keys")

            began = time.perf_counter()
            statuses = Counter(await asyncio.gather(*map(one, sent)))
            stop.set()
            await asyncio.gather(*tasks)
            results[kind] = {
                "sent": statuses.total(),
                "seconds": round(time.perf_counter() - began, 1),
                "statuses": dict(sorted(statuses.items())),
                "neighbours": neighbours_in_numbers(asking),
            }
            print(kind, results[kind], flush=True)
    return results


def neighbours_in_numbers(asking: Iterable[Neighbour]) -> dict[str, Any]:
    """Return answers, wrong answers and the longest wait of all neighbours."""
    asking = list(asking)
    statuses = sum((one.statuses for one in asking), Counter[int]())
    longest = max(max(one.seconds, default=0.0) for one in asking)
    return {
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "wrong_answers": sum(one.wrong for one in asking),
        "longest_seconds": round(longest, 2),
        "within_deadline": longest <= DEADLINE,
        "fewest_of_one": min(one.statuses[200] for one in asking),
    }


def files_with(word: str) -> int:
    """Return the number of Ray's log files that hold a word."""
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    files = [file for file in session.rglob("*") if file.suffix in LOGS and file.is_file()]
    return sum(word.encode() in file.read_bytes() for file in files)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="ZIP of phenopackets")
    parser.add_argument("--work", type=Path, default=None, help="folder that is kept")
    parser.add_argument("--text", help="folder of a student of notes, in place of a chain")
    parser.add_argument("--vision", help="folder of a student of images, in place of a chain")
    parser.add_argument("--share", type=float, default=1.0, help="of the attacks that are sent")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with short_chain.sampled_store(options.store, 400, options.work) as (work, part):
        given = {"text": options.text, "vision": options.vision}
        folders = students(part, work, given)
        keys = work / "keys"
        keys.write_text("\n".join(hashlib.sha256(key.encode()).hexdigest() for key in KEYS))
        url = clients.start()
        shared = {"max_replicas": 1, "batch_size": 4, "cpus": 0.9}
        served = {kind: {"student": folder, **shared} for kind, folder in folders.items()}
        config = ServingConfig.model_validate(
            {**served, "api_keys": str(keys), "requests_per_minute": 10**6, "body_seconds": 5}
        )
        serve.run(build(config, "sqlite:///none.db"), name="mint", route_prefix="/")
        asyncio.run(warm(url))
        load = attack_rows(url, options.share)
        results, samples = asyncio.run(clients.sampled(load, clients.footprint, 1))
        found = files_with(CANARY)
        serve.shutdown()
    result = {
        "neighbours": 3,
        "at_once": AT_ONCE,
        "share": options.share,
        "students": "given" if options.text or options.vision else "of the short chains",
        "attacks": results[0],
        "files_with_the_canary": found,
        "mib_before": samples[0]["mib"],
        "mib_at_most": max(row["mib"] for row in samples),
        "mib_after": samples[-1]["mib"],
    }
    command = f"PYTHONPATH=. python benchmarks/serve_attack.py {options.store.name}"
    clients.write_result(options.out, command, result)


async def attack_rows(url: str, share: float) -> list[Any]:
    """Return the results of `attack_all` as a list of one, for `sampled`."""
    return [await attack_all(url, share)]


async def warm(url: str) -> None:
    """Ask each student once."""
    async with aiohttp.ClientSession() as session:
        for path, request in (("diagnose", {"json": NOTE}), ("tissue", {"data": sample_image()})):
            async with session.post(
                f"{url}/v1/{path}", headers=bearer(KEYS[1]), **request
            ) as response:
                response.raise_for_status()


if __name__ == "__main__":
    main()
