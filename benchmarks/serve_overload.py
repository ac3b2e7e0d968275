"""Service under three times its capacity, and for a long time under half of it.

    python benchmarks/serve_overload.py configs/demo.yaml \
        --out benchmarks/results/serve_overload.json

Capacity is measured first, with sixteen clients that each send the next request when they have an
answer. Then requests arrive at a steady rate, whether earlier ones were answered or not. Memory and
handles are those of Serve's processes (proxy, ingress, replica, controller).
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import serve_clients as clients
from ray import serve

OVERLOAD, HALF = 3.0, 0.5
PERIOD = 5.0  # seconds between two samples of the footprint


async def measure(
    url: str, notes: Sequence[str], calibrate: float, overload: float, soak: float
) -> dict[str, Any]:
    """Measure capacity, overload and soak, each for the given seconds."""
    alone = await clients.one_by_one(url, notes)
    replies = await clients.closed_loop(url, notes, alone, 16, calibrate)
    capacity = clients.summary(replies, max(r.at + r.seconds for r in replies))
    results: dict[str, Any] = {"capacity": capacity}
    print(capacity, flush=True)
    for name, share, seconds in (("overload", OVERLOAD, overload), ("soak", HALF, soak)):
        rate = share * capacity["per_second"]
        load = clients.open_loop(url, notes, alone, rate, seconds)
        replies, rows = await clients.sampled(load, clients.footprint, PERIOD)
        duration = max(r.at + r.seconds for r in replies)
        results[name] = {
            "sent_per_second": round(rate, 2),
            "seconds": seconds,
            **clients.summary(replies, duration),
            "footprint": rows,
        }
        shown = {k: v for k, v in results[name].items() if k != "footprint"}
        print(name, shown, rows[0], rows[-1], flush=True)
    return results


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--calibrate", type=float, default=30)
    parser.add_argument("--overload", type=float, default=120)
    parser.add_argument("--soak", type=float, default=600)
    parser.add_argument("--notes", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folder, notes = clients.finished_student(options.config)
    url = clients.start(threads_per_worker=1)
    clients.deploy(str(folder))
    times = (options.calibrate, options.overload, options.soak)
    results = asyncio.run(measure(url, notes[: options.notes], *times))
    serve.shutdown()
    command = f"python benchmarks/serve_overload.py {options.config}"
    clients.write_result(options.out, command, results)


if __name__ == "__main__":
    main()
