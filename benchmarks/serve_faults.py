"""What becomes of requests while parts of the service are killed, frozen, replaced.

    python benchmarks/serve_faults.py configs/demo.yaml --out benchmarks/results/serve_faults.json

Four clients ask all the time; after some seconds the fault. Two replicas serve a champion of a
registry whose versions are all the same student, so that every answer can be judged. `lost` are
requests whose connection broke or was refused: no answer, and no typed error either.
"""

import argparse
import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import serve_clients as clients
from ray import serve

from mint_ray.students.student import student_files
from mint_ray.tracking.registry import Registry, Version

NAME = "mint-bench"
CLIENTS = 4
BEFORE = 5.0
STUDENT = f"models:/{NAME}@champion"
SETTINGS = {"min_replicas": 2, "max_replicas": 2, "cpus": 0.4, "refresh_seconds": 2}


def kill(*words: str, most: int = 99, number: int = signal.SIGKILL) -> list[psutil.Process]:
    """Send a signal to some of Serve's processes."""
    found = clients.processes(*words)[:most]
    for process in found:
        process.send_signal(number)
    return found


def freeze_a_replica() -> None:
    """Stopped, not dead: it holds its connections and says nothing."""
    frozen = kill("ray::ServeReplica:mint:text", most=1, number=signal.SIGSTOP)
    time.sleep(60)
    for process in frozen:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


def faults(registry: Registry, folder: Path) -> dict[str, tuple[Callable[[], Any], float]]:
    """What is done, and for how many seconds the load goes on after it."""

    def redeploy() -> None:
        clients.deploy(STUDENT, registry.uri, **{**SETTINGS, "cpus": 0.41})

    def switch() -> None:
        registry.promote(register(registry, folder, "second"))

    return {
        "a replica is killed": (lambda: kill("ray::ServeReplica:mint:text", most=1), 25),
        "both replicas are killed": (lambda: kill("ray::ServeReplica:mint:text"), 30),
        "the ingress is killed": (lambda: kill("ray::ServeReplica:mint:ingress"), 25),
        "the proxy is killed": (lambda: kill("ray::ProxyActor"), 60),
        "the controller is killed": (lambda: kill("ray::ServeController"), 25),
        "a replica is frozen for a minute": (freeze_a_replica, 75),
        "all replicas are replaced": (redeploy, 35),
        "another champion": (switch, 25),
    }


def register(registry: Registry, folder: Path, key: str) -> Version:
    """The student as a version of its own."""
    return registry.register(NAME, key, folder, student_files(folder), {})


async def run(
    url: str, notes: Sequence[str], todo: dict[str, tuple[Callable[[], Any], float]]
) -> dict[str, Any]:
    """Every fault under load."""
    alone = await clients.one_by_one(url, notes)
    found = {}
    for name, (act, seconds) in todo.items():
        load = clients.closed_loop(url, notes, alone, CLIENTS, BEFORE + seconds)
        task = asyncio.ensure_future(load)
        await asyncio.sleep(BEFORE)
        await asyncio.to_thread(act)
        replies = await task
        took = max(r.at + r.seconds for r in replies)
        result = clients.summary(replies, took)
        result["lost"] = result["statuses"].pop("0", 0)
        result["longest_seconds"] = round(max(r.seconds for r in replies), 2)
        last = [reply for reply in replies if reply.at > BEFORE + seconds - 3]
        result["well_again"] = bool(last) and all(r.status == 200 and r.right for r in last)
        found[name] = result
        print(name, result, flush=True)
    return found


def main() -> None:
    """Deploy, break, count, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--notes", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    folder, notes = clients.finished_student(given.config)
    with tempfile.TemporaryDirectory() as work:
        registry = Registry(f"sqlite:///{work}/mlflow.db")
        registry.promote(register(registry, folder, "first"))
        url = clients.start(threads_per_worker=1)
        clients.deploy(STUDENT, registry.uri, **SETTINGS)
        found = asyncio.run(run(url, notes[: given.notes], faults(registry, folder)))
        serve.shutdown()
    command = f"python benchmarks/serve_faults.py {given.config}"
    clients.write_result(given.out, command, {"clients": CLIENTS, "faults": found})


if __name__ == "__main__":
    main()
