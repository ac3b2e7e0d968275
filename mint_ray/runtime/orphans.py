"""Placement groups that a killed driver left reserved on a cluster that outlived it.

Ray removes the placement groups of an actor that dies with its driver. But a Ray Train controller
that waits for resources in that moment sees its group removed, and creates another one before it
ends itself. Nobody removes that one, and the workers of the next session wait for its CPUs for
ever.
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
"""File in an output folder with the cluster and the job of the session that last worked there."""


def remove_orphaned_placement_groups(output: Path, say: Callable[[str], None]) -> None:
    """Remove placement groups of the last session on this output; record the present session.

    The output is locked, so the last session is over. Its groups can only be on the same cluster.

    Args:
        output: folder of the step.
        say: prints a line.
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
    # The id of a placement group ends with the id of the job that created it.
    orphans = [
        group
        for group, state in placement_group_table().items()
        if group.endswith(last["job"]) and state["state"] != "REMOVED"
    ]
    for group in orphans:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group)))
    if orphans:
        say(f"[Placement] {len(orphans)} group(s) of a killed session given back")


def _cluster() -> str:
    """Return the id of the head node, which is new with every cluster."""
    heads = [node for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
    return str(heads[0]["NodeID"]) if heads else ""
