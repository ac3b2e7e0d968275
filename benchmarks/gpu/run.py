"""Everything that a borrowed GPU is to show, from a bundle, in 25 minutes, without Ray.

    python benchmarks/gpu/run.py --bundle build/gpu --out results [--dry-run]

In this order, each part with its own share of the time and its own file in `--out`:

    orpo          embedded student on all pairs with ORPO; ranks all held-out cases
    sft           the same with SFT
    sft_dpo       DPO from the SFT student
    throughput    1 B and 3 B shapes in bfloat16: shared, padded, TRL-like, FlexAttention
    tiles         vision student on drawn tiles
    histology     vision student on histology

A file is written whenever there is something new, so that a cut loses only what is under way. A
part whose file says that it is complete is not run again: call again with the same folders to go
on.
`--bundle` is the folder of the pieces, or of the bundle that they were joined to. `--dry-run` does
all of it at a hundredth of the size, on a CPU in minutes.
"""

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import models
import pieces
import wheels
from job import Arm, Clock, Job, Result, Save, Skip, write_result

MINUTES = {
    "orpo": 7.0,
    "sft": 4.5,
    "sft_dpo": 4.5,
    "throughput": 4.0,
    "tiles": 2.5,
    "histology": 2.5,
}
"""Time of each part; `--minutes` scales all."""

Part = Callable[[Job, Clock, Save], Result]


def prepare(bundle: Path, work: Path) -> Path:
    """Join the bundle where it is in pieces, and make its package and wheels importable.

    Returns:
        The folder of the joined bundle.
    """
    work.mkdir(parents=True, exist_ok=True)
    if (bundle / pieces.MANIFEST).is_file():
        joined = work / f"bundle-{pieces.sha256(bundle / pieces.MANIFEST)[:12]}"
        if not joined.exists():
            pieces.join(bundle, joined)
        bundle = joined
    if not (bundle / "bundle.json").is_file():
        raise SystemExit(f"{bundle}: expected a bundle or its pieces, found neither; see bundle.py")
    os.environ |= {"HF_HUB_OFFLINE": "1", "MINT_CACHE": str(work / "cache")}
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    unpacked = wheels.unpack(bundle / "wheels", work / "site")
    sys.path[:0] = [str(bundle / "src"), str(work / "site")]
    print(f"bundle {bundle}, wheels unpacked: {', '.join(unpacked) or 'none'}", flush=True)
    models.unpack(bundle / "models", work / "models")
    return bundle


def parts() -> dict[str, Part]:
    """Return the parts in their order; what they import is there once the bundle is prepared."""
    from students import train_and_rank
    from throughput import measure_throughput

    arms = {
        "orpo": Arm("patients", "orpo"),
        "sft": Arm("patients", "sft"),
        "sft_dpo": Arm("patients", "dpo", start="sft"),
        "tiles": Arm("tiles", "orpo"),
        "histology": Arm("histology", "orpo"),
    }
    found: dict[str, Part] = {
        name: partial(train_and_rank, name=name, arm=arm) for name, arm in arms.items()
    }
    found["throughput"] = measure_throughput
    return {name: found[name] for name in MINUTES}


def run_part(name: str, part: Part, job: Job, minutes: float) -> str:
    """Run a part and write its file; return how it ended.

    A part that fails is recorded with its error, and the next one has its turn.
    """
    file = job.out / f"{name}.json"
    clock = Clock(minutes * 60)
    header: dict[str, Any] = {"part": name, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    header |= {"dry_run": job.dry, "minutes": minutes, "machine": machine()}

    def save(result: Result, state: str = "under way") -> None:
        write_result(file, header | {"state": state, "seconds": clock.spent} | result)

    last: Result = {}

    def keep(result: Result) -> None:
        last.update(result)
        save(last)

    try:
        save(part(job, clock, keep), state="complete")
        return "complete"
    except Skip as reason:
        save({"why": str(reason)}, state="skipped")
        return f"skipped: {reason}"
    except Exception as error:
        traceback.print_exc()
        save(last | {"error": f"{type(error).__name__}: {error}"}, state="failed")
        return f"failed: {type(error).__name__}"


def is_complete(file: Path, dry: bool) -> bool:
    """Return whether a part has ended well in an earlier call of the same scale."""
    if not file.is_file():
        return False
    result = json.loads(file.read_text("utf-8"))
    return bool(result["state"] == "complete" and result["dry_run"] == dry)


def machine() -> dict[str, Any]:
    """Return GPU, cores and versions of this machine."""
    import torch

    from mint_ray.pipeline.manifest import package_versions

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"gpu": gpu, "cpu": platform.processor(), "cores": os.cpu_count()} | {
        "versions": package_versions()
    }


def main() -> None:
    """Run the parts that are not complete, until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="gets the results, small files")
    parser.add_argument("--work", type=Path, help="gets models and students; OUT/work by default")
    parser.add_argument("--minutes", type=float, default=sum(MINUTES.values()))
    parser.add_argument("--parts", nargs="+", choices=list(MINUTES), default=list(MINUTES))
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    started = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    work = (options.work or options.out / "work").resolve()
    job = Job(prepare(options.bundle.resolve(), work), options.out, work, options.dry_run)
    ended = {}
    for name, part in parts().items():
        file = job.out / f"{name}.json"
        if name not in options.parts or is_complete(file, job.dry):
            continue
        left = options.minutes - (time.perf_counter() - started) / 60
        if left <= 0:
            ended[name] = "no time left"
            continue
        share = options.minutes * MINUTES[name] / sum(MINUTES.values())
        ended[name] = run_part(name, part, job, min(left, share))
        print(f"{name}: {ended[name]}", flush=True)
    if any(state.startswith("failed") for state in ended.values()):
        raise SystemExit(f"some parts failed: {ended}")


if __name__ == "__main__":
    main()
