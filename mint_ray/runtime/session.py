"""Connections to Ray."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ray
import ray.data
from ray._private import ray_constants

from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import ConfigError
from mint_ray.runtime.orphans import remove_orphaned_placement_groups
from mint_ray.runtime.placement import check_worker_fits, check_workers_fit

CORE_LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"
"""Environment variable with the least severity that Ray's core logs: of the process that has it."""
WORKER_LOGS = "MINT_WORKER_LOGS"
"""Environment variable that brings the workers' output to the terminal."""
SELDOM_LOOKED_FOR = {
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "60",
}
"""Settings of Ray's log monitor. By default it lists the log folder ten times a second and reads
all files, also where nobody wants their lines: 4 % of a core, beside workers that want it."""


def begin_session(
    resources: ResourcesConfig,
    say: Callable[[str], None],
    group: tuple[str, int] | None = None,
) -> None:
    """Connect to Ray and print a line about the cluster.

    Args:
        resources: which Ray to connect to, and what a worker asks for.
        say: prints a line.
        group: setting with the number of workers that have to start together, and that number.

    Raises:
        ConfigError: this machine's Ray has not what the workers ask for. A cluster may still grow,
            so there a line says what it lacks.
    """
    say(connect(resources))

    def check(nodes: list[Mapping[str, float]]) -> None:
        check_worker_fits(nodes, resources)
        if group is not None:
            check_workers_fit(nodes, resources, *group)

    check_room(resources, say, check)


def check_room(
    resources: ResourcesConfig,
    say: Callable[[str], None],
    check: Callable[[list[Mapping[str, float]]], None],
) -> None:
    """Check the connected Ray's nodes; where a cluster may still grow, print what it lacks.

    Args:
        resources: which Ray it is.
        say: prints a line.
        check: raises ConfigError for nodes, given by their `CPU` and `GPU`, without enough room.

    Raises:
        ConfigError: see `check`; only for a Ray of this machine.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    try:
        check(nodes)
    except ConfigError as error:
        if is_local(resources):
            raise
        say(f"waiting until the cluster grows: {error}")


def begin_training_session(
    resources: ResourcesConfig,
    output: Path,
    say: Callable[[str], None],
    group: tuple[str, int] | None = None,
) -> None:
    """Connect for a step that trains on Ray Train.

    Placement groups that a killed earlier run of the step left reserved are removed first.

    Args:
        resources: which Ray to connect to.
        output: folder of the step, which remembers the session.
        say: prints a line.
        group: as for `begin_session`.
    """
    begin_session(resources, say, group)
    remove_orphaned_placement_groups(output, say)


def connect(resources: ResourcesConfig) -> str:
    """Connect to the configured, the surrounding or a new local Ray; return its description.

    The surrounding Ray is that of RAY_ADDRESS, which `ray job submit` sets for its jobs. An address
    that an earlier head left on this machine is not used: if that head was killed, Ray would wait
    for it for many minutes. Workers' output goes to Ray's log files; MINT_WORKER_LOGS=1 brings it
    to the terminal, and RAY_BACKEND_LOG_LEVEL=error what Ray's core logs in this process. The ports
    of a new local Ray, those of its metrics among them, are open to this machine only.
    """
    if not ray.is_initialized():
        wanted = bool(os.environ.get(WORKER_LOGS))
        if is_local(resources):
            _stay_on_loopback()
            if not wanted:
                for name, value in SELDOM_LOOKED_FOR.items():
                    os.environ.setdefault(name, value)
        with _silent_core():
            ray.init(
                address=_address(resources),
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=wanted,
            )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # the command line shows progress
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    total = ray.cluster_resources()
    return (
        f"Ray {ray.__version__}: {len(ray.nodes())} node(s), "
        f"{total.get('CPU', 0):g} CPU, {total.get('GPU', 0):g} GPU"
    )


@contextmanager
def _silent_core() -> Iterator[None]:
    """Keep what Ray's core logs below `fatal` off this process's terminal, unless the user says so.

    The core writes its errors there, and takes for one that each pool of Ray Data could not restart
    an actor if the objects it began with were lost. What fails reaches this process as an exception
    in Python. The core reads the variable when Ray connects. It is set in C's environment alone, of
    which Ray's own processes get no copy: they log as before, into the session's folder.
    """
    if CORE_LOG_LEVEL in os.environ:
        yield
        return
    os.putenv(CORE_LOG_LEVEL, "fatal")
    try:
        yield
    finally:
        os.unsetenv(CORE_LOG_LEVEL)


def _stay_on_loopback() -> None:
    """Make Ray take 127.0.0.1 for this node's address; its processes inherit the variable.

    Ray listens on all interfaces otherwise, and `ray.init(_node_ip_address="127.0.0.1")` replaces
    that address by an outer one. Ray reads the variable when it is imported, so this process needs
    the constant too.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def is_local(resources: ResourcesConfig) -> bool:
    """Return whether `connect` starts a Ray of its own on this machine."""
    return _address(resources) == "local"


def _address(resources: ResourcesConfig) -> str:
    return resources.ray_address or os.environ.get("RAY_ADDRESS") or "local"
