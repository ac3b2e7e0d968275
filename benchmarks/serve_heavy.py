"""What one request within the limits of size costs the process that reads it.

    PYTHONPATH=. python benchmarks/serve_heavy.py after --out benchmarks/results/serve_heavy.json

Bodies are read by the service's own application in this process; the replica behind it is played.
A note is read as a replica reads it. Seconds are of the processor, so that other work on the
machine does not count, and memory is the growth at its peak. The label (`before`, `after`) keeps
figures of two commits in one file: for `before`, put an earlier checkout into PYTHONPATH.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import serve_clients as clients

from mint_ray.knowledge.notes.findings import load_reader
from mint_ray.knowledge.ontology import load_ontology
from tests.serving.http.in_process import Handle, app_of, ask, diagnose

MOST = 2 * 2**20
JSON = {"Content-Type": "application/json"}
PARTS = b"[]," * (MOST // 3 - 20)
WRONG = b'{"terms": [' + PARTS + b"[]]}"
BODIES = {
    "2 MiB of empty lists in a phenopacket": (
        "/v1/diagnose",
        b'{"phenopacket": {"a": [' + PARTS + b"[]]}}",
    ),
    "2 MiB of empty lists as terms": ("/v1/diagnose", WRONG),
    "180,000 unknown fields": (
        "/v1/diagnose",
        b"{" + b",".join(b'"%d":1' % number for number in range(180_000)) + b"}",
    ),
    "a chat of 700,000 empty parts": (
        "/v1/chat/completions",
        b'{"messages": [{"role": "user", "content": [' + b"{}," * (MOST // 3 - 40) + b"{}]}]}",
    ),
    "a batch of 14 lines of empty lists": ("/v1/batch", b"\n".join([WRONG] * 14)),
}
NOTES = {
    '25,000 characters of "no seizures or seizures or"': "no " + "seizures or " * 2_080,
    '25,000 characters of "seizures"': "seizures " * 2_770,
}


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Return processor seconds of some work, and by how many MiB the process grew at most."""
    process, done = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.process_time()
    found = work()
    seconds = time.process_time() - began
    done.set()
    watching.join()
    return {"seconds": round(seconds, 2), "mib": round((most - before) / 2**20), "found": found}


def one(name: str) -> dict[str, Any]:
    """Measure a body or a note in this process."""
    if name in NOTES:
        reader = load_reader(load_ontology())
        return measured(lambda: len(reader.read(NOTES[name])))
    path, body = BODIES[name]
    app = app_of(Handle(diagnose=diagnose), requests_per_minute=10**6)
    request = ("POST", path, {"content": body, "headers": JSON})
    return measured(lambda: ask(app, request)[0].status_code)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("label", choices=("before", "after"))
    parser.add_argument("--only", help="measure this one, and print it as JSON")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not (options.only or options.out):
        parser.error("expected --out or --only, found neither")
    if options.only:
        print(json.dumps(one(options.only)))
        return
    rows = {}
    for name in (*BODIES, *NOTES):  # each in a process of its own, with memory of its own
        command = [sys.executable, __file__, options.label, "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, rows[name], flush=True)
    earlier = json.loads(options.out.read_text()) if options.out.is_file() else {}
    kept = {label: earlier[label] for label in ("before", "after") if label in earlier}
    command_line = f"PYTHONPATH=. python benchmarks/serve_heavy.py {options.label}"
    clients.write_result(options.out, command_line, {**kept, options.label: rows})


if __name__ == "__main__":
    main()
