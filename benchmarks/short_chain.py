"""Chain of a student that is trained for a few steps only: for benchmarks in which speed counts."""

import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CATALOGUE = "configs/phenopackets.yaml"
TISSUES = "configs/demo_vision.yaml"
SHORT = {
    CATALOGUE: (
        "teacher.name=knowledge",  # needs no training
        "cases.recombined_per_disease=0",
        "training.max_steps=2",
        "training.batch_size=4",
        "resources.micro_batch_size=2",
        "evaluation.max_cases=24",
    ),
    TISSUES: (
        "cases.tiles.patients_per_tissue=6",
        "cases.tiles.tiles_per_patient=1",
        "training.max_steps=2",
        "training.batch_size=4",
        "evaluation.max_cases=16",
    ),
}
"""Overrides of a config that leave its chain as it is, and shorten it."""


def _sample_packets(store: Path, count: int, out: Path) -> None:
    """Write a ZIP with a random sample of a case store's phenopackets, whole or not at all."""
    partial = out.with_suffix(".partial")
    with zipfile.ZipFile(store) as whole, zipfile.ZipFile(partial, "w") as part:
        names = sorted(name for name in whole.namelist() if name.endswith(".json"))
        for name in random.Random(0).sample(names, min(count, len(names))):
            part.writestr(name, whole.read(name))
    partial.replace(out)


@contextmanager
def sampled_store(store: Path, count: int, work: Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield a folder to work in, and a ZIP in it with a sample of a case store's phenopackets.

    Args:
        store: ZIP of the case store.
        count: phenopackets of the sample.
        work: folder that is kept, with the samples that it may hold; None for a temporary one.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = work or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"packets-{count}.zip"
        if not part.is_file():
            _sample_packets(store, count, part)
        yield folder, part


def promote(config: str, work: Path, overrides: Sequence[str] = ()) -> tuple[list[str], float]:
    """Run a short chain up to the promotion of its student, in processes of their own.

    Returns:
        The overrides of the chain, and its seconds.

    Raises:
        CalledProcessError: a step failed.
    """
    settings = [*SHORT.get(config, ()), f"store={work}", *overrides]
    began = time.perf_counter()
    command = [sys.executable, "-m", "mint_ray", "promote", config, *settings]
    subprocess.run(command, check=True)
    return settings, time.perf_counter() - began
