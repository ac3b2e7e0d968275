"""The service of `mint serve`: on this machine, until it is interrupted."""

import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ray import serve
from ray.serve.config import HTTPOptions

from mint_ray.config.config import Config
from mint_ray.config.serving import ServedStudentConfig, ServingConfig
from mint_ray.errors import ConfigError
from mint_ray.pipeline import graph as pipeline
from mint_ray.runtime.placement import check_node_has
from mint_ray.runtime.session import check_room, connect, is_local
from mint_ray.serving.deploy.application import INGRESS_CPUS, NAME, STUDENTS, build, check
from mint_ray.serving.http.front import put_before_proxies
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.tracker import tracking_uri


def serve_until_stopped(config: Config, say: Callable[[str], None]) -> None:
    """Start Ray and the service, print its address, and stop both on SIGINT or SIGTERM.

    Both signals count from the start: the loading of a model may take minutes.

    Args:
        say: prints a line for the user.

    Raises:
        KeyboardInterrupt: SIGINT (Ctrl-C) came.
        SystemExit: SIGTERM came; its code is 0.
        ConfigError: there is no student to serve, the address is not a loopback one and there are
            no API keys, the port is taken, this Ray has a Serve already, or this machine lacks
            what the replicas ask for.
    """
    serving = with_students(config)
    check(serving)
    if is_local(config.resources):  # of a cluster, the head has the port
        check_port(serving.host, serving.port)
    put_before_proxies()
    say(connect(config.resources))
    check_no_serve()
    check_room(config.resources, say, partial(check_replicas_fit, serving))
    # No limit of the proxy: it would count a whole stream. The service limits the arrival of each
    # body and each question to a model itself.
    options = HTTPOptions(host=serving.host, port=serving.port, request_timeout_s=None)
    tracking = tracking_uri(config.tracking.uri, config.store)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        serve.start(http_options=options)
        serve.run(build(serving, tracking), name=NAME, route_prefix="/")
        say(f"listening on http://{serving.host}:{serving.port} (Ctrl-C stops)")
        threading.Event().wait()
    finally:
        serve.shutdown()


def check_no_serve() -> None:
    """Raise ConfigError if Ray Serve runs on the connected Ray.

    Its proxies keep the address that they were started with, whatever a later caller asks for, and
    the end of this command would stop the applications of others.
    """
    status = serve.status()
    if status.applications or status.proxies:
        names = ", ".join(sorted(status.applications)) or "no application"
        raise ConfigError(
            f"mint serve: expected a Ray without Ray Serve, found one that runs {names}; add the "
            "students to it with serve deploy configs/serve.yaml, or stop it with serve shutdown"
        )


def check_replicas_fit(serving: ServingConfig, nodes: Sequence[Mapping[str, float]]) -> None:
    """Check that the fewest replicas of every student have room; Ray Serve would wait for ever.

    Raises:
        ConfigError: a replica asks for more than any node has, or all of them for more than all
            nodes have.
    """
    students = [(kind, student) for kind in STUDENTS if (student := getattr(serving, kind))]
    for name, kind, besides in (("gpus", "GPU", 0.0), ("cpus", "CPU", INGRESS_CPUS)):
        for of, student in students:
            check_node_has(nodes, f"serving.{of}.{name}", getattr(student, name), kind)
        asked = [(f"serving.{of}", s.min_replicas, getattr(s, name)) for of, s in students]
        wanted = sum(count * each for _, count, each in asked)
        present = sum(node.get(kind, 0.0) for node in nodes)
        if wanted and wanted + besides > present + 1e-6:
            parts = " and ".join(
                f"{of}.min_replicas={count} of {of}.{name}={each:g}" for of, count, each in asked
            )
            raise ConfigError(
                f"{parts}: expected {wanted + besides:g} {kind} (with {besides:g} of the service "
                f"itself), found {present:g} {kind} on {len(nodes)} node(s); lower one of them"
            )


def check_port(host: str, port: int) -> None:
    """Raise ConfigError if the service cannot listen there.

    Ray Serve would find out in a process of its own, and end with that process's traceback.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"serving.port={port}: expected a port of {host} that is free, found "
            f"{error.strerror or error}; stop what listens there, or set serving.port to another"
        ) from error


def with_students(config: Config) -> ServingConfig:
    """Return the serving section, completed with the config's own student if it names none.

    The own student is the output of the first finished step among `calibrate`, `tune` and
    `train`, in this order. If it reads notes, the documents of a finished step `index` join it.

    Raises:
        ConfigError: no student is named and none of these steps is finished.
    """
    serving = config.serving
    if serving.text is not None or serving.vision is not None:
        return serving
    planned = pipeline.plan(config)
    finished = next(
        (planned[name] for name in ("calibrate", "tune", "train") if planned[name].complete), None
    )
    if finished is None:
        raise ConfigError(
            "serving: expected a student (serving.text.student or serving.vision.student), or a "
            "config whose student is finished; found neither; train one with mint run CONFIG"
        )
    kind = "vision" if TASKS[config.task].input_modality == "image" else "text"
    update: dict[str, object] = {kind: ServedStudentConfig(student=str(finished.folder))}
    if serving.documents is None and kind == "text" and planned["index"].complete:
        update["documents"] = planned["index"].folder
    return serving.model_copy(update=update)
