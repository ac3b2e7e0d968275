"""Checks that need settings of several sections."""

from mint_ray.errors import ConfigError


def check_batch_size(batch_size: int, micro_batch_size: int, world_size: int, even: bool) -> None:
    """Raise ConfigError if the batch size cannot be divided among the workers.

    Args:
        batch_size: cases per optimizer step.
        micro_batch_size: largest number of cases per forward pass.
        world_size: number of workers.
        even: whether all workers must take equally many micro-batches of the same size, as
            DeepSpeed requires; otherwise every worker needs at least one case.

    Raises:
        ConfigError: `training.batch_size` does not fit.
    """
    per_pass = world_size * micro_batch_size
    if batch_size % per_pass and (even or batch_size < world_size):
        wanted = f"a multiple of {per_pass}" if even else f"at least {world_size}"
        raise ConfigError(
            f"training.batch_size={batch_size}: expected {wanted} for {world_size} workers x "
            f"micro-batch {micro_batch_size}; change training.batch_size, "
            "resources.train_workers or resources.micro_batch_size"
        )
