"""Figures of a finished run: metrics, sizes, times, hardware, versions.

    python benchmarks/record_run.py configs/demo.yaml --command "make demo" \
        --out benchmarks/results/demo.json

`--command` is the command that a reader can repeat; it is recorded as given.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from mint_ray.errors import ConfigError
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.extra_inputs import members_among
from mint_ray.pipeline.manifest import package_versions, read_manifest


def hardware() -> dict[str, object]:
    """Return processor, cores, memory (GiB) and GPU of this machine."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def record(config: str, overrides: list[str], command: str) -> dict[str, object]:
    """Collect all figures of a run that its results table shows.

    Raises:
        ConfigError: a stage is not complete.
    """
    steps = {}
    resolved = load_run(config, overrides)
    planned = pipeline.plan(resolved)
    for name, item in ((step.name, planned[step.name]) for step in pipeline.select(resolved)):
        manifest = read_manifest(item.folder)
        if manifest is None or not manifest.complete:
            raise ConfigError(f"stage {name} is not complete; run: {command}")
        members = [item.folder.parent / key for key in members_among(manifest.inputs)]
        trained = [member for folder in members if (member := read_manifest(folder))]
        steps[name] = {
            "key": manifest.key,
            "rows_in": manifest.rows_in,
            "rows_out": manifest.rows_out,
            "rejected": manifest.rejected,
            "seconds": round(sum(m.wall_seconds or 0 for m in (manifest, *trained)), 1),
            "facts": manifest.facts,
        }
        folder, date = item.folder, manifest.finished
    return {
        "command": command,
        "task": resolved.task,
        "date": date,
        "hardware": hardware(),
        "versions": package_versions(),
        "steps": steps,
        "metrics": json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
    }


def main(record: Callable[[str, list[str], str], dict[str, object]], about: str | None) -> None:
    """Record figures from the command line into a JSON file.

    Args:
        record: function of a config's path, overrides and the command; returns the figures.
        about: module docstring, whose first line `--help` shows.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--command", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_intermixed_args()
    try:
        result = record(options.config, options.overrides, options.command)
    except ConfigError as error:
        sys.exit(f"{parser.prog}: {error}")
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(record, __doc__)
