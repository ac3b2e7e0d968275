"""How an optimizer step is cut into micro-batches and dealt to workers: pure functions.

The cut never changes the loss, which is divided by what the whole step holds; so examples of
like length stand together, and little is padded.
"""

from collections.abc import Sequence

from mint_ray.errors import ConfigError


def cut(lengths: Sequence[int], micro_batch_size: int, world_size: int) -> list[list[int]]:
    """Places of a step's examples in micro-batches, the longest first; one per worker or more.

    >>> cut([7, 30, 8, 31, 9], 2, 1)
    [[3, 1], [4, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    size = min(micro_batch_size, max(1, len(order) // world_size))
    return [order[at : at + size] for at in range(0, len(order), size)]


def share_of(micro_batches: Sequence[list[int]], rank: int, world_size: int) -> list[list[int]]:
    """The micro-batches of one worker; dealt in turn, so that workers are done together."""
    return list(micro_batches[rank::world_size])


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
