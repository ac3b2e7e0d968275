"""Shared fixtures: one Ray and one pair of ranks for all tests, and where optional data lies."""

import os
import tempfile
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

# Tests of one group run in one process, one after another; see `pytest_collection_modifyitems`.
RAY_GROUP, CHAIN_GROUP = "ray", "chain"

SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal the tests out to the processes of pytest-xdist: the two long groups first.

    All tests that need a Ray share one, but for the chains, which take as long as all the others.
    The modules of the rest stay whole, with what they prepare for their tests.
    """
    if not config.pluginmanager.has_plugin("xdist"):
        return
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            on_ray = item.get_closest_marker("cluster") or "ray_cluster" in item.fixturenames
            item.add_marker(pytest.mark.xdist_group(RAY_GROUP if on_ray else str(item.path)))
    first = [RAY_GROUP, CHAIN_GROUP]
    if hasattr(config, "workerinput"):  # one after another, the quick ones come first
        items.sort(key=lambda item: _place(item, first))


def _place(item: pytest.Item, first: list[str]) -> int:
    (group,) = item.get_closest_marker("xdist_group").args
    return first.index(group) if group in first else len(first)


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep this process's, Ray's workers' included, apart from those of tests beside it."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(tmp_path_factory.getbasetemp())


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
