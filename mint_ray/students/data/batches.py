"""Division of an optimizer step into micro-batches, and of these among workers.

The cut does not change the loss, which is divided by the tokens and units of the whole step. So
examples of similar length may stand together, with little padding. All functions are pure.
"""

from collections.abc import Sequence


def cut(lengths: Sequence[int], micro_batch_size: int, world_size: int) -> list[list[int]]:
    """Cut a step's examples into micro-batches, the longest examples first.

    Args:
        lengths: tokens of the step's examples.
        micro_batch_size: most examples in a micro-batch; fewer where workers would stay idle.
        world_size: number of workers.

    Returns:
        Indices of `lengths` in each micro-batch.

    >>> cut([7, 30, 8, 31, 9], 2, 1)
    [[3, 1], [4, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    size = min(micro_batch_size, max(1, len(order) // world_size))
    return [order[at : at + size] for at in range(0, len(order), size)]


def share_of(micro_batches: Sequence[list[int]], rank: int, world_size: int) -> list[list[int]]:
    """Return one worker's micro-batches, dealt in turn so that workers finish together."""
    return list(micro_batches[rank::world_size])
