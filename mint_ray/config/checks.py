"""Checks."""

from mint_ray.errors import ConfigError


def check_batch_size(batch_size: int, micro_batch_size: int, world_size: int, even: bool) -> None:
    """Refuse a batch that cannot be dealt.

    Args:
        batch_size: cases per optimizer step.
        micro_batch_size: most cases per forward pass.
        world_size: workers.
        even: every worker must take as many micro-batches of one size, as DeepSpeed wants it;
            else every worker needs one case at least.

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
