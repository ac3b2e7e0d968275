"""Outcomes of requests while parts of the service are killed, frozen or replaced.

    python benchmarks/serve_faults.py configs/demo.yaml --out benchmarks/results/serve_faults.json

Four clients send requests all the time; the fault comes after some seconds. Two replicas serve the
champion of a registry whose versions are all the same student, so that every answer can be judged.
`lost` counts requests whose connection broke or was refused: they got neither an answer nor a typed
error.
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

from mint_ray.students.student_folder import student_files
from mint_ray.tracking.registry import Registry, Version

NAME = "mint-bench"
CLIENTS = 4
BEFORE = 5.0
"""Seconds of load before the fault."""
STUDENT = f"models:/{NAME}@champion"
SETTINGS = {"min_replicas": 2, "max_replicas": 2, "cpus": 0.4, "refresh_seconds": 2}


def kill(*words: str, most: int = 99, number: int = signal.SIGKILL) -> list[psutil.Process]:
    """Send a signal to at most `most` processes whose command lines contain one of the words."""
    targets = clients.processes(*words)[:most]
    for process in targets:
        process.send_signal(number)
    return targets


def freeze_a_replica() -> None:
    """Stop a replica for a minute: it keeps its connections, but does not answer."""
    frozen = kill("ray::ServeReplica:mint:text", most=1, number=signal.SIGSTOP)
    time.sleep(60)
    for process in frozen:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


def faults(registry: Registry, folder: Path) -> dict[str, tuple[Callable[[], Any], float]]:
    """Return each fault's action, and the seconds for which the load continues after it."""

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
    """Register the student as a new version."""
    return registry.register(NAME, key, folder, student_files(folder), {})


async def run(
    url: str, notes: Sequence[str], actions: dict[str, tuple[Callable[[], Any], float]]
) -> dict[str, Any]:
    """Cause every fault under load, and summarise the replies by fault."""
    alone = await clients.one_by_one(url, notes)
    results = {}
    for name, (act, seconds) in actions.items():
        load = clients.closed_loop(url, notes, alone, CLIENTS, BEFORE + seconds)
        task = asyncio.ensure_future(load)
        await asyncio.sleep(BEFORE)
        await asyncio.to_thread(act)
        replies = await task
        duration = max(r.at + r.seconds for r in replies)
        result = clients.summary(replies, duration)
        result["lost"] = result["statuses"].pop("0", 0)
        result["longest_seconds"] = round(max(r.seconds for r in replies), 2)
        last = [reply for reply in replies if reply.at > BEFORE + seconds - 3]
        result["well_again"] = bool(last) and all(r.status == 200 and r.right for r in last)
        results[name] = result
        print(name, result, flush=True)
    return results


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--notes", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folder, notes = clients.finished_student(options.config)
    with tempfile.TemporaryDirectory() as work:
        registry = Registry(f"sqlite:///{work}/mlflow.db")
        registry.promote(register(registry, folder, "first"))
        url = clients.start(threads_per_worker=1)
        clients.deploy(STUDENT, registry.uri, **SETTINGS)
        results = asyncio.run(run(url, notes[: options.notes], faults(registry, folder)))
        serve.shutdown()
    command = f"python benchmarks/serve_faults.py {options.config}"
    clients.write_result(options.out, command, {"clients": CLIENTS, "faults": results})


if __name__ == "__main__":
    main()
