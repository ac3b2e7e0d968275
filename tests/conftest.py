"""Shared fixtures: one Ray and one pair of ranks for all tests, and where optional data lies."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # torch is slow to import
    from tests.two_ranks import TwoRanks

# Before anything imports them: no telemetry, no model hub, one thread per process on small
# machines (two processes of two spinning threads on two cores take twenty times as long).
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.pop("MLFLOW_TRACKING_URI", None)  # tests write to stores of their own
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray Train's controller looks for reports every two seconds, and every checkpoint waits for it.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
# A Ray of the tests' own, whatever else runs on this machine.
os.environ["RAY_ADDRESS"] = "local"

SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray, started once."""
    from mint_ray.config.resources import ResourcesConfig
    from mint_ray.runtime.session import connect

    connect(ResourcesConfig())
    yield
    import ray

    ray.shutdown()


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator["TwoRanks"]:
    """Two processes that run a function together."""
    from tests.two_ranks import TwoRanks

    ranks = TwoRanks(tmp_path_factory.mktemp("ranks"))
    yield ranks
    ranks.stop()
