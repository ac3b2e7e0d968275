"""`mint serve`: the service on this machine, until it is interrupted."""

import signal
import threading
from collections.abc import Callable

from ray import serve
from ray.serve.config import HTTPOptions

from mint_ray.config.config import Config
from mint_ray.config.serving import ServedStudentConfig, ServingConfig
from mint_ray.errors import ConfigError
from mint_ray.pipeline import graph as pipeline
from mint_ray.runtime.session import connect
from mint_ray.serving.deploy.application import NAME, build, check
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.tracker import tracking_uri

GRACE_SECONDS = 5.0
"""What HTTP waits longer than the service itself, whose error says more."""


def serve_until_stopped(config: Config, say: Callable[[str], None]) -> None:
    """Start Ray and the service, say where it is, stop it cleanly on SIGINT or SIGTERM.

    Raises:
        ConfigError: nothing to serve, or an address beyond loopback without API keys.
    """
    serving = with_students(config)
    check(serving)
    say(connect(config.resources))
    timeout = serving.timeout_seconds + GRACE_SECONDS
    options = HTTPOptions(host=serving.host, port=serving.port, request_timeout_s=timeout)
    serve.start(http_options=options)
    tracking = tracking_uri(config.tracking.uri, config.store)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        serve.run(build(serving, tracking), name=NAME, route_prefix="/")
        say(f"listening on http://{serving.host}:{serving.port} (Ctrl-C stops)")
        stopped.wait()
    finally:
        serve.shutdown()


def with_students(config: Config) -> ServingConfig:
    """The serving section; without a student in it, that of the config's own finished steps: the
    calibrated one if there is one.

    Raises:
        ConfigError: there is none.
    """
    serving = config.serving
    if serving.text is not None or serving.vision is not None:
        return serving
    planned = pipeline.plan(config)
    found = next(
        (planned[name] for name in ("calibrate", "tune", "train") if planned[name].complete), None
    )
    if found is None:
        raise ConfigError(
            "serving: expected a student (serving.text.student or serving.vision.student), or a "
            "config whose student is finished; found neither: mint run CONFIG trains one"
        )
    kind = "vision" if TASKS[config.task].input_modality == "image" else "text"
    student = ServedStudentConfig(student=str(found.folder))
    return serving.model_copy(update={kind: student})
