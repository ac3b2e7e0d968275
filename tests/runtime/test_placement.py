import pytest

from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import ConfigError
from mint_ray.runtime.placement import check_workers_fit, training_slots


@pytest.mark.parametrize(
    ("nodes", "settings", "limit", "count"),
    [
        ([{"CPU": 2}], {}, None, 2),
        ([{"CPU": 2}], {"cpus_per_worker": 0.5, "train_workers": 2}, None, 2),
        ([{"CPU": 2}], {"cpus_per_worker": 0.1}, None, 20),
        ([{"CPU": 3}, {"CPU": 3}], {"cpus_per_worker": 2}, None, 2),  # one a node, not three
        ([{"CPU": 4}], {"train_workers": (1, 4)}, None, 4),  # an elastic run starts with the least
        ([{"CPU": 16, "GPU": 2}], {"gpus_per_worker": 0.4}, None, 4),  # no worker on two GPUs
        ([{"CPU": 16, "GPU": 8}], {"gpus_per_worker": 2, "train_workers": 2}, None, 2),
        ([{"CPU": 2, "GPU": 8}], {"gpus_per_worker": 1}, None, 2),
        ([{"CPU": 8}], {}, 3, 3),
        ([{"CPU": 2}], {}, 9, 2),
    ],
)
def test_only_as_many_trainings_as_get_all_their_workers(
    nodes: list[dict[str, float]], settings: dict[str, object], limit: int | None, count: int
) -> None:
    found = training_slots(nodes, ResourcesConfig.model_validate(settings), limit)
    assert found.count == count
    assert "each needs" in found.why
    assert ("max_concurrent_trials" in found.why) == (limit is not None)


def test_a_training_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"each needs 1 worker\(s\) of 1 CPU and 1 GPU"):
        training_slots([{"CPU": 8}], ResourcesConfig(gpus_per_worker=1))


def test_workers_that_would_wait_for_each_other_are_refused() -> None:
    message = (
        r"resources\.teacher_workers=4: expected room for 4 worker\(s\) of 1 CPU, found room for 3 "
        r"on 2 node\(s\) with 3 CPU and 0 GPU; set resources\.teacher_workers to at most 3"
    )
    nodes = [{"CPU": 2.0}, {"CPU": 1.0}]
    with pytest.raises(ConfigError, match=message):
        check_workers_fit(nodes, ResourcesConfig(), "teacher_workers", 4)
    check_workers_fit(nodes, ResourcesConfig(), "teacher_workers", 3)
    check_workers_fit(nodes, ResourcesConfig(cpus_per_worker=0.5), "teacher_workers", 6)
