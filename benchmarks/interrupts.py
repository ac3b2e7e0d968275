"""Time from one Ctrl-C to the end of each command, on a real Ray.

    python benchmarks/interrupts.py tests/tiny.yaml --out benchmarks/results/interrupts.json

Each stage is started and interrupted in the midst of its work: some seconds after Ray is there, the
whole process group gets one SIGINT, as from a terminal. Then the same command runs to its end,
which shows that it continues. `promote` and `serve` come last.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import serve_clients as clients

STAGES = ("cases", "teach", "prefer", "train", "evaluate", "calibrate", "promote", "serve")
BEGUN = {"serve": "listening on", "promote": "calibrate"}
"""What a command says when its work has begun; others name Ray."""
GOAL = 10.0
"""Seconds within which a command is to end."""
SENTENCE = "the same command continues"
PATIENCE = 600.0


def start(stage: str, config: str, settings: list[str]) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mint_ray", stage, config, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A background shell ignores the signal, and its children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


def wait_for(process: subprocess.Popen[str], words: str, seconds: float) -> None:
    """Wait until a command prints some words or ends; kill it when time is over."""
    assert process.stdout is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    any(words in line for line in process.stdout)
    timer.cancel()


def interrupt(stage: str, config: str, settings: list[str], pause: float) -> dict[str, Any]:
    """Interrupt a command in the midst of its work; return how it ended."""
    process = start(stage, config, settings)
    wait_for(process, BEGUN.get(stage, "Ray 2"), PATIENCE)
    time.sleep(pause)
    if process.poll() is not None:
        return {"ended_before": True, "code": process.returncode}
    family = psutil.Process(process.pid).children(recursive=True)
    began = time.perf_counter()
    os.killpg(process.pid, signal.SIGINT)
    try:
        rest, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        rest, _ = process.communicate()
    seconds = time.perf_counter() - began
    _, alive = psutil.wait_procs(family, timeout=10)
    said = [line for line in rest.splitlines() if line.strip()]
    return {
        "seconds": round(seconds, 1),
        "within_goal": seconds <= GOAL,
        "code": process.returncode,
        "last_line": said[-1] if said else "",
        "says_how_to_continue": stage == "serve" or any(SENTENCE in line for line in said),
        "traceback": "Traceback" in rest,
        "processes_left_after_10_s": len(alive),
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--pause", type=float, default=2.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as work, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        settings = [f"store={work}", f"serving.port={port}", *options.settings]
        for stage in STAGES:
            results[stage] = interrupt(stage, options.config, settings, options.pause)
            if stage != "serve":
                again = start(stage, options.config, settings)
                again.communicate(timeout=PATIENCE)
                results[stage]["code_of_the_second_run"] = again.returncode
            print(stage, results[stage], flush=True)
    command = f"python benchmarks/interrupts.py {options.config}"
    clients.write_result(options.out, command, {"stages": results})


if __name__ == "__main__":
    main()
