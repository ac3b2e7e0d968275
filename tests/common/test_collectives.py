"""Collective operations between processes, and alone."""

import time
from pathlib import Path

from mint_ray.common.collectives import gather, rank, wait_for_all, world_size
from tests.two_ranks import TwoRanks


def test_alone_there_is_nobody_to_wait_for() -> None:
    wait_for_all()
    assert (rank(), world_size(), gather("a")) == (0, 1, ["a"])


def test_nobody_goes_on_before_all_have_come(tmp_path: Path, two_ranks: TwoRanks) -> None:
    two_ranks.run(_meet, tmp_path)
    assert (tmp_path / "seen").exists()


def _meet(folder: Path) -> None:
    assert gather(rank()) == [0, 1]
    if rank() == 1:
        time.sleep(0.5)
        (folder / "late").touch()
    wait_for_all()
    if rank() == 0 and (folder / "late").exists():
        (folder / "seen").touch()
    wait_for_all()
