"""What a killed session left reserved on a cluster is given back, and nothing else is."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from mint_ray.common.files import read_json, write_json
from mint_ray.runtime.orphans import SESSION, remove_orphaned_placement_groups

# A session that keeps a reservation beyond its end, and says which job it was.
SESSION_OF_ANOTHER = """
import sys, ray
from ray.util.placement_group import placement_group
ray.init(address=sys.argv[1], logging_level="error")
group = placement_group([{"CPU": 0.001}], lifetime="detached")
ray.get(group.ready())
print(ray.get_runtime_context().get_job_id(), group.id.hex())
"""

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.usefixtures("ray_cluster"),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def left_behind(ray_cluster: None) -> tuple[str, str]:
    """Job of a session that is over, and the placement group that it left."""
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-c", SESSION_OF_ANOTHER, address],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    job, group = done.stdout.split()[-2:]
    return job, group


@pytest.fixture
def own() -> Iterator[PlacementGroup]:
    """A reservation of the present session."""
    group = placement_group([{"CPU": 0.001}])
    ray.get(group.ready())
    yield group
    remove_placement_group(group)


def state(group: str) -> str:
    return str(placement_group_table()[group]["state"])


def test_what_another_cluster_left_is_not_looked_for(
    left_behind: tuple[str, str], tmp_path: Path
) -> None:
    job, group = left_behind
    write_json(tmp_path / SESSION, {"cluster": "another", "job": job})
    said: list[str] = []
    remove_orphaned_placement_groups(tmp_path, said.append)
    assert not said
    assert state(group) == "CREATED"


def test_a_dead_session_s_reservation_is_given_back(
    left_behind: tuple[str, str], own: PlacementGroup, tmp_path: Path
) -> None:
    job, group = left_behind
    said: list[str] = []
    remove_orphaned_placement_groups(tmp_path, said.append)
    present = read_json(tmp_path / SESSION)
    assert not said, "a first session finds nothing to give back"

    write_json(tmp_path / SESSION, present | {"job": job})
    remove_orphaned_placement_groups(tmp_path, said.append)
    assert said == ["[Placement] 1 group(s) of a killed session given back"]
    assert state(group) == "REMOVED"
    assert state(own.id.hex()) == "CREATED"
    assert read_json(tmp_path / SESSION) == present


def test_the_session_itself_loses_nothing(own: PlacementGroup, tmp_path: Path) -> None:
    said: list[str] = []
    remove_orphaned_placement_groups(tmp_path, said.append)
    remove_orphaned_placement_groups(tmp_path, said.append)
    assert not said
    assert state(own.id.hex()) == "CREATED"


def test_a_torn_record_is_replaced(tmp_path: Path) -> None:
    (tmp_path / SESSION).write_text("{", encoding="utf-8")
    remove_orphaned_placement_groups(tmp_path, print)
    assert read_json(tmp_path / SESSION)["job"] == ray.get_runtime_context().get_job_id()
