"""The Kubernetes manifests are what KubeRay's schema says."""

from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.serve._private.build_app import build_app
from ray.serve.schema import ServeDeploySchema

from mint_ray.errors import ConfigError
from mint_ray.serving.deploy.application import ServiceArgs, application
from mint_ray.serving.http import front

ROOT = Path(__file__).parents[1]
CRDS = ROOT / ".." / "shared" / "reference" / "kuberay-crds"
KINDS = {
    "RayJob": "ray.io_rayjobs.yaml",
    "RayCluster": "ray.io_rayclusters.yaml",
    "RayService": "ray.io_rayservices.yaml",
}


def closed(schema: object) -> object:
    """The schema with unknown fields refused, as the API server's strict validation does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tightened = {key: closed(value) for key, value in schema.items()}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in schema and "additionalProperties" not in schema and not keeps:
        tightened["additionalProperties"] = False
    return tightened


@pytest.mark.parametrize(
    "file", sorted((ROOT / "cluster").glob("*.yaml")), ids=lambda file: file.name
)
def test_manifests_follow_the_crd(file: Path) -> None:
    if not CRDS.is_dir():
        pytest.skip("KubeRay's CRDs are not beside this checkout")
    manifest = yaml.safe_load(file.read_text(encoding="utf-8"))
    text = (CRDS / KINDS[manifest["kind"]]).read_text(encoding="utf-8")  # half a megabyte
    crd = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    version = next(
        v for v in crd["spec"]["versions"] if f"ray.io/{v['name']}" == manifest["apiVersion"]
    )
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    jsonschema.validate(manifest["spec"], closed(spec))


def test_proxies_of_the_service_use_our_middleware() -> None:
    text = (ROOT / "cluster" / "rayservice.yaml").read_text(encoding="utf-8")
    cluster = yaml.safe_load(text)["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        [container] = group["template"]["spec"]["containers"]
        assert {"name": front.VARIABLE, "value": front.IMPORT_PATH} in container["env"]


@pytest.mark.parametrize(
    ("file", "cluster"),
    [("rayjob.yaml", "rayClusterSpec"), ("rayservice.yaml", "rayClusterConfig")],
)
def test_a_cluster_asks_for_a_token(file: str, cluster: str) -> None:
    manifest = yaml.safe_load((ROOT / "cluster" / file).read_text(encoding="utf-8"))
    assert manifest["spec"][cluster]["authOptions"] == {"mode": "token"}


def test_the_image_and_the_manifests_name_the_locked_ray() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    version = next(line.partition("==")[2] for line in lock if line.startswith("ray=="))
    job, service = (
        yaml.safe_load((ROOT / "cluster" / name).read_text(encoding="utf-8"))["spec"]
        for name in ("rayjob.yaml", "rayservice.yaml")
    )
    assert job["rayClusterSpec"]["rayVersion"] == version
    assert service["rayClusterConfig"]["rayVersion"] == version


@pytest.mark.parametrize("file", ["configs/serve.yaml", "cluster/rayservice.yaml"])
def test_serves_config_files_build_the_service(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    config = ServeDeploySchema.model_validate(
        yaml.safe_load(read["spec"]["serveConfigV2"]) if "spec" in read else read
    )
    [described] = config.applications
    module, name = described.import_path.split(":")
    assert (module, name) == (application.__module__, application.__name__)
    args = ServiceArgs.model_validate(described.args)
    assert args.serving.host == config.http_options.host
    if "spec" in read:
        with pytest.raises(ConfigError, match="MINT_API_KEY_HASHES"):
            application(args)
        monkeypatch.setenv("MINT_API_KEY_HASHES", "0" * 64)
    built = build_app(application(args), name="mint", route_prefix="/", default_runtime_env={})
    assert [deployment.name for deployment in built.deployments] == ["text", "vision", "ingress"]


def test_no_proxy_limits_a_whole_stream() -> None:
    serve_file = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text(encoding="utf-8"))
    service = yaml.safe_load((ROOT / "cluster" / "rayservice.yaml").read_text(encoding="utf-8"))
    for config in (serve_file, yaml.safe_load(service["spec"]["serveConfigV2"])):
        assert ServeDeploySchema.model_validate(config).http_options.request_timeout_s is None
