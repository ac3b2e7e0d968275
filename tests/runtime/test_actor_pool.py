"""Size of a pool of Ray Data's actors, without a cluster."""

import pytest

from mint_ray.config.resources import ResourcesConfig
from mint_ray.runtime import inference


@pytest.mark.parametrize(
    ("cpus", "batches", "least"),
    [(9, 20, 4), (9, 3, 3), (9, 1, 1), (3, 20, 2), (1, 20, 1), (9, 0, 1)],
)
def test_no_actor_starts_without_a_batch_for_it(
    cpus: float, batches: int, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference.ray, "cluster_resources", lambda: {"CPU": cpus})
    pool = inference.actor_pool(ResourcesConfig(actors=4), batches)
    assert (pool.min_size, pool.max_size) == (least, 4)
