"""Checkpoints that stay in a folder, as Ray Train keeps those that it is reported."""

import os
import shutil
from pathlib import Path

from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.students.engines.checkpoints import Report


def keep_checkpoints(folder: Path, keep: int = 2) -> Report:
    """A report function that keeps the newest `keep` checkpoints as `step-00000050` and so on.

    For runs whose ranks all see `folder`. A checkpoint appears there whole or not at all.
    """

    def report(metrics: dict[str, float], checkpoint: Path | None) -> None:
        if checkpoint is None:
            return
        target = folder / f"step-{int(metrics['step']):08d}"
        working = folder / f".{target.name}"
        working.mkdir(parents=True, exist_ok=True)
        for file in checkpoint.iterdir():
            shutil.copyfile(file, working / file.name)
        wait_for_all()
        if rank() == 0:
            shutil.rmtree(target, ignore_errors=True)
            os.replace(working, target)
            for old in sorted(folder.glob("step-*"))[:-keep]:
                shutil.rmtree(old)
        wait_for_all()

    return report
