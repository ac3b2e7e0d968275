"""The Kubernetes manifests are what KubeRay's schema says."""

from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
CRDS = ROOT / ".." / "shared" / "reference" / "kuberay-crds"
KINDS = {"RayJob": "ray.io_rayjobs.yaml", "RayCluster": "ray.io_rayclusters.yaml"}


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
    crd = yaml.safe_load((CRDS / KINDS[manifest["kind"]]).read_text(encoding="utf-8"))
    version = next(
        v for v in crd["spec"]["versions"] if f"ray.io/{v['name']}" == manifest["apiVersion"]
    )
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    jsonschema.validate(manifest["spec"], closed(spec))


def test_the_image_and_the_manifest_name_the_locked_ray() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    version = next(line.partition("==")[2] for line in lock if line.startswith("ray=="))
    manifest = yaml.safe_load((ROOT / "cluster" / "rayjob.yaml").read_text(encoding="utf-8"))
    assert manifest["spec"]["rayClusterSpec"]["rayVersion"] == version
