"""How an optimizer step is cut into micro-batches and dealt to workers: pure functions.

The cut never changes the loss, which is divided by what the whole step holds; so examples of
like length stand together, and little is padded.
"""

from collections.abc import Sequence

from mint_ray.config import TrainingConfig
from mint_ray.errors import ConfigError


def cut(lengths: Sequence[int], micro_batch_size: int) -> list[list[int]]:
    """Places of a step's examples in micro-batches, the longest first.

    >>> cut([7, 30, 8, 31, 9], 2)
    [[3, 1], [4, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    return [order[at : at + micro_batch_size] for at in range(0, len(order), micro_batch_size)]


def share_of(micro_batches: Sequence[list[int]], rank: int, world_size: int) -> list[list[int]]:
    """The micro-batches of one worker; dealt in turn, so that workers are done together."""
    return list(micro_batches[rank::world_size])


def check_batch_size(training: TrainingConfig, micro_batch_size: int, world_size: int) -> None:
    """Refuse a batch that cannot be dealt.

    DeepSpeed wants every worker to take as many equal micro-batches; without it every worker
    needs one case at least.

    Raises:
        ConfigError: `training.batch_size` does not fit workers and micro-batch.
    """
    per_pass = world_size * micro_batch_size
    whole = training.deepspeed == "off"
    if training.batch_size % per_pass and not (whole and training.batch_size >= world_size):
        wanted = f"at least {world_size}" if whole else f"a multiple of {per_pass}"
        raise ConfigError(
            f"training.batch_size={training.batch_size} must be {wanted} for {world_size} workers "
            f"x micro-batch {micro_batch_size}; change training.batch_size, "
            "resources.train_workers or resources.micro_batch_size"
        )
