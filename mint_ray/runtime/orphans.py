"""What a killed driver's session left reserved on a cluster that outlived it.

Ray removes the placement groups of an actor that dies with its driver. But a Ray Train controller
that waits for a place in that moment sees its group removed, and makes another one before it ends
itself; nobody removes that one, and the workers of the next session wait for its CPUs for ever.
"""

from collections.abc import Callable
from pathlib import Path

import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group_table,
    remove_placement_group,
)

from mint_ray.common.files import read_json, write_json

SESSION = "ray_session.json"
"""In an output folder: the cluster and the job of the session that last worked there."""


def remove_orphaned_placement_groups(output: Path, say: Callable[[str], None]) -> None:
    """Give back what the last session on this output still holds; remember the present one.

    The output is locked, so that session is over. It only counts on the same cluster.
    """
    present = {"cluster": _cluster(), "job": ray.get_runtime_context().get_job_id()}
    file = output / SESSION
    try:
        last = read_json(file)
    except (OSError, ValueError):
        last = {}
    write_json(file, present)
    if last.get("cluster") != present["cluster"] or last.get("job") == present["job"]:
        return
    # The id of a placement group ends with that of the job that made it.
    held = [
        group
        for group, state in placement_group_table().items()
        if group.endswith(last["job"]) and state["state"] != "REMOVED"
    ]
    for group in held:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group)))
    if held:
        say(f"[Placement] {len(held)} group(s) of a killed session given back")


def _cluster() -> str:
    """The id of the head node, which is new with every cluster."""
    heads = [node for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
    return str(heads[0]["NodeID"]) if heads else ""
