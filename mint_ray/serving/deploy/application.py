"""Ray Serve application: an HTTP ingress, and one deployment per student."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.handle import DeploymentHandle

from mint_ray.config.base import Section
from mint_ray.config.serving import LOOPBACK, ServedStudentConfig, ServingConfig
from mint_ray.errors import ConfigError
from mint_ray.serving.deploy.logs import write_to_serve_logs
from mint_ray.serving.deploy.replica import StudentReplica
from mint_ray.serving.documents import check_folder
from mint_ray.serving.http.app import RETRY_AFTER, make_app
from mint_ray.serving.http.security import ApiKeys
from mint_ray.serving.http.service import Service

NAME = "mint"
STUDENTS = ("text", "vision")
HEALTH_SECONDS = 10.0
INGRESS_CPUS = 0.1


@serve.deployment
@serve.ingress()
class Ingress:
    """Deployment that receives HTTP requests and forwards them to the students.

    Args:
        settings: a `ServingConfig`, as plain values.
        text: handle of the students of notes; None if none is served.
        vision: handle of the students of images; None if none is served.
        needs_keys: whether requests need a key. The process that builds the application says so,
            because the environment of this one may lack the keys that the other one saw.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        text: DeploymentHandle | None,
        vision: DeploymentHandle | None,
        needs_keys: bool,
    ) -> None:
        write_to_serve_logs()
        self._needs_keys = needs_keys
        self._config = ServingConfig.model_validate(settings)
        self._service = Service(text, vision, self._config)

    def __serve_build_asgi_app__(self) -> Any:
        return make_app(self._service, self._config, needs_keys=self._needs_keys)


class ServiceArgs(Section):
    """Arguments of `application`, as a Serve config file gives them."""

    serving: ServingConfig
    tracking: str
    """MLflow's tracking URI, which also names the model registry."""


def application(args: ServiceArgs) -> serve.Application:
    """Build the application for `serve deploy` and for a RayService; see `configs/serve.yaml`."""
    return build(args.serving, args.tracking)


def build(config: ServingConfig, tracking: str) -> serve.Application:
    """Build the application of a config.

    Args:
        tracking: MLflow's tracking URI, which also names the model registry.

    Raises:
        ConfigError: see `check`.
    """
    needs_keys = check(config)
    students = {
        kind: _student(kind, getattr(config, kind), tracking, config.documents)
        if getattr(config, kind)
        else None
        for kind in STUDENTS
    }
    settings = config.model_dump(mode="json")
    deployment = Ingress.options(  # type: ignore[attr-defined]
        name="ingress",
        max_ongoing_requests=200,
        autoscaling_config=AutoscalingConfig(
            min_replicas=1, max_replicas=4, target_ongoing_requests=64
        ),
        ray_actor_options={"num_cpus": INGRESS_CPUS},
    )
    return deployment.bind(settings, students["text"], students["vision"], needs_keys)


def check(config: ServingConfig) -> bool:
    """Check that a config can be served, and safely; return whether requests need a key.

    Raises:
        ConfigError: no student is named, the documents are not those of a finished step, or the
            address is not a loopback one and there are no API keys.
    """
    if config.text is None and config.vision is None:
        raise ConfigError(
            "serving: expected serving.text or serving.vision, found neither; name a student in "
            "one of them"
        )
    if config.documents is not None:
        check_folder(config.documents)
    has_keys = ApiKeys(config.api_keys).required
    if config.host not in LOOPBACK and not has_keys:
        raise ConfigError(
            f"serving.host={config.host} can be reached from other machines: expected "
            "serving.api_keys or MINT_API_KEY_HASHES, found neither; set one, or serve on 127.0.0.1"
        )
    return has_keys


def _student(
    kind: str, config: ServedStudentConfig, tracking: str, documents: Path | None
) -> serve.Application:
    size = config.batch_size
    deployment = StudentReplica.options(  # type: ignore[attr-defined]
        name=kind,
        user_config={
            "student": config.student,
            "more_models": config.more_models,
            "tracking": tracking,
            "documents": None if documents is None else str(documents),
            "refresh_seconds": config.refresh_seconds,
            "batch_size": size,
            "batch_wait_seconds": config.batch_wait_seconds,
        },
        # One batch is computed while the next one fills: with less, the model would wait.
        max_ongoing_requests=2 * size,
        max_queued_requests=config.max_queued_requests,
        backpressure_config={"status_code": 429, "retry_after_s": RETRY_AFTER},
        autoscaling_config=AutoscalingConfig(
            min_replicas=config.min_replicas,
            max_replicas=config.max_replicas,
            target_ongoing_requests=size,
            upscale_delay_s=config.scale_up_seconds,
            downscale_delay_s=config.scale_down_seconds,
        ),
        ray_actor_options={"num_cpus": config.cpus, "num_gpus": config.gpus},
        health_check_period_s=HEALTH_SECONDS,
        health_check_timeout_s=3 * HEALTH_SECONDS,
        graceful_shutdown_timeout_s=20,
    )
    return deployment.bind(config.threads or max(1, round(config.cpus)))
