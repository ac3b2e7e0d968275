"""Collective operations between processes, and alone."""

import time
from pathlib import Path

import torch.distributed as dist
import torch.multiprocessing as mp

from mint_ray.common.collectives import gather, rank, wait_for_all, world_size


def test_alone_there_is_nobody_to_wait_for() -> None:
    wait_for_all()
    assert (rank(), world_size(), gather("a")) == (0, 1, ["a"])


def test_nobody_goes_on_before_all_have_come(tmp_path: Path) -> None:
    mp.start_processes(_meet, (tmp_path,), nprocs=2, start_method="spawn")
    assert (tmp_path / "seen").exists()


def _meet(number: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder}/init", rank=number, world_size=2)
    try:
        assert gather(number) == [0, 1]
        if rank() == 1:
            time.sleep(0.5)
            (folder / "late").touch()
        wait_for_all()
        if rank() == 0 and (folder / "late").exists():
            (folder / "seen").touch()
        wait_for_all()
    finally:
        dist.destroy_process_group()
