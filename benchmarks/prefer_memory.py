"""Memory of the preference stage, from a thousand tiles to fifty thousand.

    python benchmarks/prefer_memory.py --out benchmarks/results/prefer_memory.json

A `clip` teacher is fitted to a few hundred tiles, or taken from `--teacher`. Each size is then
measured in a fresh process with its own Ray. The whole tree of processes is sampled once a second
from outside, as each process's proportional share of memory (PSS), so that shared pages count once.
Shared memory is Ray's object store; it is reported separately from the memory of the processes. The
tiles are drawn textures of eight kinds, 96 pixels wide. The case table of the largest size has a
gigabyte.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from record_run import hardware
from scipy.ndimage import gaussian_filter

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.manifest import package_versions
from mint_ray.pipeline.steps import STEPS, StepContext
from mint_ray.reports import svg
from mint_ray.tracking.tracker import NullRun

SIZES = (1_000, 5_000, 10_000, 50_000)
TISSUES = ("Adrenal", "Breast", "Colon", "Kidney", "Liver", "Lung", "Skin", "Thyroid")
SIDE, GROUP, PATIENT_TILES, FIT_TILES = 96, 256, 25, 400
POINTS = 200
PARTS = ("driver", "workers", "ray", "object_store")
MEGABYTE = 1e6
CONFIG = Config.model_validate(
    {
        "task": "tissue",
        "cases": {"source": "tiles"},
        "teacher": {"name": "clip", "clip": {"views": 1}},
        "preferences": {"chosen_size": 4, "rejected_size": 3},
        # As in configs/demo_vision.yaml; a CPU each would leave one core to Ray alone.
        "resources": {"actors": 2, "cpus_per_worker": 0.5, "threads_per_worker": 1},
    }
)


def catalogue() -> Catalogue:
    """Return a catalogue of the eight kinds of texture, under the names of tissues."""
    ids = [f"TISSUE:{name.lower()}" for name in TISSUES]
    labels = [Label(i, name, (i,), (), ()) for i, name in zip(ids, TISSUES, strict=True)]
    return Catalogue(labels)


def textures(rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Draw a texture (512, 512, 3) per tissue, of its own grain and colour, to cut tiles from."""
    sheets = []
    for grain in np.linspace(0.8, 4.0, len(TISSUES)):
        field = gaussian_filter(rng.normal(size=(512, 512)), grain, mode="wrap")
        shade = (field - field.min()) / (field.max() - field.min())
        dark, light = rng.uniform((60, 30, 90), (120, 90, 160)), rng.uniform(190, 245, 3)
        sheets.append((dark + shade[..., None] * (light - dark)).astype(np.float32))
    return sheets


def tiles(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield cases of `CASE_SCHEMA` in the order of their ids."""
    rng = np.random.default_rng(seed)
    sheets, labels = textures(rng), catalogue().labels
    splits = ("train",) * 7 + ("validation", "test", "test")
    for number in range(count):
        patient = number // PATIENT_TILES
        kind = patient % len(labels)
        top, left = rng.integers(0, 512 - SIDE, 2)
        cut = sheets[kind][top : top + SIDE, left : left + SIDE]
        noise = rng.integers(-6, 7, cut.shape, dtype=np.int8)
        file = BytesIO()
        Image.fromarray((cut + noise).clip(0, 255).astype(np.uint8)).save(
            file, "PNG", compress_level=1
        )
        yield {
            **blank_case(f"tile-{number:06d}", "tiles"),
            "group_id": f"patient-{patient:05d}",
            "split": splits[patient % len(splits)],
            "label_id": labels[kind].label_id,
            "label_name": labels[kind].name,
            "seen": True,
            "image": file.getvalue(),
        }


def write_cases(folder: Path, count: int, seed: int) -> int:
    """Write the output of a cases step, a row group at a time; return its size in bytes."""
    folder.mkdir()
    catalogue().write(folder / "catalogue.parquet")
    (folder / "excluded_publications.txt").touch()
    path = folder / "cases.parquet"
    group: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, CASE_SCHEMA) as writer:
        for case in tiles(count, seed):
            group.append(case)
            if len(group) == GROUP:
                writer.write_table(pa.Table.from_pylist(group, CASE_SCHEMA))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, CASE_SCHEMA))
    return path.stat().st_size


def run_stage(name: str, inputs: dict[str, str], output: str) -> None:
    """Run one stage in this process, as `mint` would, and print its numbers of rows as JSON."""
    progress = SimpleNamespace(say=print, update=lambda *_: None)
    context = StepContext(
        CONFIG,
        "benchmark",
        {key: Path(folder) for key, folder in inputs.items()},
        Path(output),
        NullRun(),
        progress,
    )
    [step] = [step for step in STEPS if step.name == name]
    outcome = step.load()(context)
    print(json.dumps({"rows": outcome.rows_out, "rejected": dict(outcome.rejected)}))


def in_a_process(name: str, inputs: dict[str, Path], output: Path) -> dict[str, Any]:
    """Run a stage in a fresh process; return its rows, its seconds, and samples of its memory."""
    output.mkdir()
    job = [name, {key: str(folder) for key, folder in inputs.items()}, str(output)]
    started = time.monotonic()
    with (output / "log.txt").open("w+", encoding="utf-8") as log:
        child = subprocess.Popen(
            [sys.executable, __file__, "--job", json.dumps(job)], stdout=log, stderr=log
        )
        samples = []
        while child.poll() is None:
            samples.append({"second": time.monotonic() - started, **memory(child.pid)})
            time.sleep(1)
        seconds = time.monotonic() - started
        log.seek(0)
        lines = log.read().splitlines()
    if child.returncode:
        raise SystemExit(f"{name} failed:\n" + "\n".join(lines[-40:]))
    printed = next(json.loads(line) for line in reversed(lines) if line.startswith('{"rows"'))
    return {**printed, "seconds": seconds, "samples": samples}


def memory(pid: int) -> dict[str, float]:
    """Return the bytes of each of `PARTS`, over a process and all its descendants."""
    parts = dict.fromkeys(PARTS, 0.0)
    try:
        driver = psutil.Process(pid)
        processes = [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return parts
    for process in processes:
        try:
            share = proportional_share(process.pid)
            title = process.cmdline()[:1]
        except (OSError, psutil.Error):  # it has ended
            continue
        part = "workers" if title and title[0].startswith("ray::") else "ray"
        parts["driver" if process.pid == pid else part] += share["Pss"] - share["Pss_Shmem"]
        parts["object_store"] += share["Pss_Shmem"]
    return parts


def proportional_share(pid: int) -> dict[str, float]:
    """Read the `Pss` fields of a process, in bytes.

    Raises:
        OSError: the process has ended, or the kernel does not report them.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    fields = (line.partition(":") for line in lines if line.startswith("Pss"))
    return {name: 1024.0 * int(value.split()[0]) for name, _, value in fields}


def total(sample: dict[str, float]) -> float:
    """Return the sum of all parts, in bytes."""
    return sum(sample[part] for part in PARTS)


def thinned(samples: Sequence[dict[str, float]]) -> list[list[float]]:
    """Keep the highest sample of each of at most `POINTS` stretches.

    Returns:
        Rows of [second, total MB, object store MB].
    """
    stretches = np.array_split(np.arange(len(samples)), min(POINTS, len(samples)))
    highest = [max(part.tolist(), key=lambda i: total(samples[i])) for part in stretches]
    return [
        [
            round(samples[i]["second"], 1),
            round(total(samples[i]) / MEGABYTE, 1),
            round(samples[i]["object_store"] / MEGABYTE, 1),
        ]
        for i in highest
    ]


def measure(count: int, teacher: Path, work: Path, seed: int) -> dict[str, Any]:
    """Measure one size: draw the cases, run the stage, and split its memory into parts."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        cases, output = Path(folder) / "cases", Path(folder) / "prefer"
        size = write_cases(cases, count, seed)
        run = in_a_process("prefer", {"cases": cases, "teach": teacher}, output)
        written = sum(file.stat().st_size for file in output.glob("*.parquet"))
    samples = run["samples"]
    peaks = {part: max(sample[part] for sample in samples) for part in PARTS}
    return {
        "tiles": count,
        "rows": run["rows"],
        "rejected": run["rejected"],
        "seconds": round(run["seconds"], 1),
        "case_table_mb": round(size / MEGABYTE, 1),
        "pairs_mb": round(written / MEGABYTE, 1),
        "peak_mb": {part: round(peak / MEGABYTE, 1) for part, peak in peaks.items()}
        | {"total": round(max(map(total, samples)) / MEGABYTE, 1)},
        "samples": thinned(samples),
    }


def plot(sizes: Sequence[dict[str, Any]]) -> str:
    """Draw peak memory and the size of the case table against the number of tiles, as SVG."""
    width, height, left, right, top, bottom = 640, 300, 64, 130, 16, 250
    highest: float = 1.1 * max(max(s["peak_mb"]["total"], s["case_table_mb"]) for s in sizes)
    most: int = max(size["tiles"] for size in sizes)

    def x(tiles: float) -> float:
        return left + (width - left - right) * tiles / most

    def y(megabytes: float) -> float:
        return bottom - (bottom - top) * megabytes / highest

    shapes = [
        "<style>text{font:12px sans-serif;fill:#444}line{stroke:#ddd}polyline{fill:none;"
        "stroke-width:2}.total{stroke:#0f766e}.object_store{stroke:#7c3aed}"
        ".case_table{stroke:#999;stroke-dasharray:5 4}</style>"
    ]
    for tick in np.linspace(0, highest, 5):
        shapes.append(svg.line(left, y(tick), width - right, y(tick), "grid"))
        shapes.append(svg.text(left - 8, y(tick) + 4, f"{tick / 1000:.1f} GB", "tick", "end"))
    for size in sizes:
        tick_x = x(size["tiles"])
        shapes.append(svg.line(tick_x, bottom, tick_x, bottom + 5, "grid"))
    for tiles in (0, most / 2, most):
        shapes.append(svg.text(x(tiles), bottom + 20, f"{tiles:,.0f}", "tick", "middle"))
    shapes.append(svg.text(x(most / 2), bottom + 40, "tiles", "tick", "middle"))
    lines = {
        "total": ("peak, all processes", [size["peak_mb"]["total"] for size in sizes]),
        "object_store": ("object store", [size["peak_mb"]["object_store"] for size in sizes]),
        "case_table": ("case table on disk", [size["case_table_mb"] for size in sizes]),
    }
    label_y = float(bottom)  # moves up, so that labels do not overlap
    for style, (title, values) in sorted(lines.items(), key=lambda item: item[1][1][-1]):
        points = [(x(size["tiles"]), y(v)) for size, v in zip(sizes, values, strict=True)]
        label_y = min(label_y, points[-1][1])
        shapes += [
            svg.polyline(points, style),
            svg.text(width - right + 8, label_y + 4, title, "label"),
        ]
        label_y -= 14
    title = "Peak memory of the preference stage against the number of tiles"
    drawn = str(svg.drawing(width, height, title, shapes))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def main() -> None:
    """Fit the teacher, measure every size, and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiles", type=int, nargs="+", default=SIZES)
    parser.add_argument("--teacher", type=Path, help="folder of a fitted teacher of these tissues")
    parser.add_argument("--work", type=Path, help="folder for the tiles, 2 GB at the largest size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep what --out has of other sizes")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        run_stage(*json.loads(options.job))
        return
    sizes: list[dict[str, Any]] = []
    if options.keep and options.out:
        kept = json.loads(options.out.read_text(encoding="utf-8"))["sizes"]
        sizes = [size for size in kept if size["tiles"] not in options.tiles]
    with tempfile.TemporaryDirectory(dir=options.work, prefix="prefer-memory-") as folder:
        work, teacher = Path(folder), options.teacher
        if teacher is None:
            teacher = work / "teach"
            write_cases(work / "fit", FIT_TILES, options.seed + 1)
            in_a_process("teach", {"cases": work / "fit"}, teacher)
        for count in sorted(options.tiles):
            measured = measure(count, teacher.resolve(), work, options.seed)
            sizes = sorted([*sizes, measured], key=lambda size: int(size["tiles"]))
            shown = {key: value for key, value in measured.items() if key != "samples"}
            print(json.dumps(shown), flush=True)
            result = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "hardware": hardware() | {"threads": os.environ.get("OMP_NUM_THREADS")},
                "versions": package_versions(),
                "settings": CONFIG.preferences.model_dump(mode="json")
                | {"side": SIDE, "teacher": CONFIG.teacher.clip.checkpoint},
                "sizes": sizes,
            }
            if options.out:
                text = json.dumps(result, indent=1) + "\n"
                options.out.write_text(text, encoding="utf-8")
                options.out.with_suffix(".svg").write_text(plot(sizes), encoding="utf-8")


if __name__ == "__main__":
    main()
