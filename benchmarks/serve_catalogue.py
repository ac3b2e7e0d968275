"""Latency of the service over the whole catalogue of diseases, with a reload while it is asked.

    python benchmarks/serve_catalogue.py phenopackets.zip \\
        --out benchmarks/results/serve_catalogue.json

The real chain on a sample of the case store: cases, pairs, a training of two steps, calibration,
promotion, and the service with the registry's champion, or with a given student, whose search goes
on for longer, since it is surer of its first names than of its tenth. Four callers each send the
next note as soon as they have an answer; halfway, another version becomes champion. Every answer is
compared with the one that its note gets alone. Before that, batches of four notes are answered in
this process, to see where the time goes.
"""

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import serve_clients as clients
import short_chain
from ray import serve

from mint_ray.evaluation.calibration.calibrator import FILE as CALIBRATION
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.serving.api.requests import DiagnoseRequest
from mint_ray.serving.predictor import Predictor
from mint_ray.students.student_folder import student_files
from mint_ray.tracking.registry import Registry
from mint_ray.tracking.tracker import tracking_uri

NAME = "mint-text"
CALLERS = 4
GOAL = 2.0
"""Seconds within which 95 % of the answers are to come."""
SETTINGS = {"refresh_seconds": 2}
_EACH = {"batch_size": 4, "cpus": 0.9}
SYSTEMS: dict[str, dict[str, Any]] = {
    "two replicas, one thread each": {**_EACH, "min_replicas": 2, "max_replicas": 2, "threads": 1},
    "one replica, two threads": {**_EACH, "max_replicas": 1, "threads": 2},
    "one replica, one thread": {**_EACH, "max_replicas": 1, "threads": 1},
}
"""Settings of the measured services."""
PARTS = {
    "the note is read": ("serving/predictor.py", "read_patient"),
    "all of the ranking": ("ranking/ranker.py", "rank_prompts"),
    "the prompt is computed": ("ranking/trie_scorer.py", "__init__"),
    "partial names are computed": ("ranking/trie_scorer.py", "append_nodes"),
    "masks of partial names (in it)": ("ranking/trie_scorer.py", "_node_mask"),
    "next tokens are scored": ("ranking/trie_scorer.py", "next_token_logps"),
    "the best are chosen": ("ranking/beam.py", "grow"),
    "the answer is built": ("api/answers.py", "answer"),
}
"""Functions whose time is shown, with all that they call."""


def profile(folder: Path, notes: Sequence[str], size: int = 4) -> dict[str, Any]:
    """Return seconds per batch of `size` notes, whole and by part, in this process."""
    predictor = Predictor(folder, name=NAME, version="0", batch_size=size)
    predictor.warm_up()
    profiler, began = cProfile.Profile(), time.perf_counter()
    profiler.enable()
    batches = [notes[at : at + size] for at in range(0, len(notes) - size + 1, size)]
    for number, batch in enumerate(batches):
        read = [predictor.read_patient(DiagnoseRequest(note=note)) for note in batch]
        predictor.answer({f"{number}-{n}": asked for n, asked in enumerate(read)})
    profiler.disable()
    spent = (time.perf_counter() - began) / len(batches)
    parts = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (*_, cumulative, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        for part, (end, name) in PARTS.items():
            if function == name and file.endswith(end):
                parts[part] += cumulative / len(batches)
    return {
        "notes_a_batch": size,
        "batches": len(batches),
        "seconds_a_batch": round(spent, 3),
        "parts": {part: round(seconds, 4) for part, seconds in parts.items()},
    }


async def load(
    url: str, notes: Sequence[str], registry: Registry, folder: Path, seconds: float
) -> dict[str, Any]:
    """Measure four callers, and what a new champion halfway changes."""
    alone = await clients.one_by_one(url, notes)
    task = asyncio.ensure_future(
        clients.sampled(
            clients.closed_loop(url, notes, alone, CALLERS, seconds), clients.footprint, 2
        )
    )
    await asyncio.sleep(seconds / 2)
    key = f"again-{time.time_ns()}"
    files = [*student_files(folder), CALIBRATION]
    await asyncio.to_thread(
        lambda: registry.promote(registry.register(NAME, key, folder, files, {}))
    )
    replies, samples = await task
    result = clients.summary(replies, max(reply.at + reply.seconds for reply in replies))
    late = [r for r in replies if r.at > seconds / 2]
    return {
        **result,
        "reaches_goal": result.get("p95", float("inf")) <= GOAL,
        "requests_after_reload_began": len(late),
        "mib_before": samples[0]["mib"],
        "mib_at_most": max(row["mib"] for row in samples),
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="ZIP of phenopackets")
    parser.add_argument("--packets", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--notes", type=int, default=16)
    parser.add_argument("--student", type=Path, help="calibrated one, in place of the chain's")
    parser.add_argument("--work", type=Path, default=None, help="folder that is kept")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with short_chain.sampled_store(options.store, options.packets, options.work) as (work, part):
        more = [f"cases.path={part}"]
        settings, seconds = short_chain.promote(short_chain.CATALOGUE, work, more)
        config = load_run(short_chain.CATALOGUE, settings)
        planned = pipeline.plan(config)
        folder, cases = planned["calibrate"].folder, planned["cases"].folder
        notes = pq.read_table(cases / "cases.parquet", columns=["note"])["note"].to_pylist()
        notes = notes[: options.notes]
        registry = Registry(tracking_uri(config.tracking.uri, config.store))
        if options.student is not None:
            folder = options.student
            files = [*student_files(folder), CALIBRATION]
            registry.promote(registry.register(NAME, f"{time.time_ns()}", folder, files, {}))
        names = pq.read_metadata(folder / "catalogue.parquet").num_rows
        profiled = profile(folder, notes)
        print(json.dumps(profiled, indent=1), flush=True)
        url = clients.start()
        systems = {}
        for name, system in SYSTEMS.items():
            clients.deploy(f"models:/{NAME}@champion", registry.uri, **SETTINGS, **system)
            systems[name] = asyncio.run(load(url, notes, registry, folder, options.seconds))
            print(name, systems[name], flush=True)
            serve.delete("mint")
        serve.shutdown()
    result = {
        "student": "of the short chain" if options.student is None else "given",
        "names": names,
        "callers": CALLERS,
        "chain_seconds": round(seconds, 1),
        "load_average": round(os.getloadavg()[1], 1),
        "profile": profiled,
        "systems": systems,
    }
    command = f"python benchmarks/serve_catalogue.py {options.store.name}"
    clients.write_result(options.out, command, result)


if __name__ == "__main__":
    main()
