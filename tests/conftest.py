"""Shared fixtures: one Ray and one pair of ranks for all tests, and where optional data lies."""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
# Ray's workers wait behind everything else by default: here, behind the tests that need no Ray and
# are done long before the others.
os.environ.setdefault("RAY_worker_niceness", "0")
# Nobody takes nodes away from tests but tests, and one process less starts with each training.
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
# The large libraries make a million objects that stay. To walk over them in search of cyclic
# garbage as often as Python does by default takes 8 % of the tests' time.
gc.set_threshold(100_000, 50, 100)
# A shell starts its background jobs deaf to Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A Ray of the tests' own, whatever else runs on this machine.
os.environ["RAY_ADDRESS"] = "local"

# Modules of the mark `cluster` share a Ray, so one process runs them, one after another. A second
# Ray beside it starves both of two cores: tests then fail by time, and are no sooner done.
RAY = "ray"

SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal the tests out to the processes of pytest-xdist by `group_of`."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what needs a Ray where processes share the tests, else with the quick tests."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: group_of(item.nodeid) != RAY)


def group_of(nodeid: str) -> str:
    """Return the group of a test, which one process runs as a whole: `RAY`, or its module."""
    file = nodeid.partition("::")[0]
    return RAY if _needs_ray(file) else file


@cache
def _needs_ray(file: str) -> bool:
    """Return whether a module has the mark, as its text says: a scheduler sees names only."""
    return "pytest.mark.cluster" in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep this process's, Ray's workers' included, apart from those of tests beside it.

    Ray's sockets lie below this folder, and the path of a socket may have 107 bytes: pytest's own
    folder is too deep for those of the dashboard.
    """
    tmp_path_factory.getbasetemp()  # stays where pytest keeps the files of failed tests
    with tempfile.TemporaryDirectory(prefix="mint", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        yield


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray, started once."""
    from mint_ray.config.resources import ResourcesConfig
    from mint_ray.runtime.session import connect

    connect(ResourcesConfig())
    yield
    import ray

    ray.shutdown()


@pytest.fixture(scope="module")
def actors_here() -> Iterator[None]:
    """Actors in this process, where Ray proves nothing: each would import torch anew.

    They are on Ray in tests/runtime/test_inference.py and in the tests of whole runs.
    """
    from tests.in_process import without_ray

    with without_ray():
        yield


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator["TwoRanks"]:
    """Two processes that run a function together."""
    from tests.two_ranks import TwoRanks

    ranks = TwoRanks(tmp_path_factory.mktemp("ranks"))
    yield ranks
    ranks.stop()
