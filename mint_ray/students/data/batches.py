"""How an optimizer step is cut into micro-batches and dealt to workers: pure functions.

The cut never changes the loss, which is divided by what the whole step holds; so examples of
like length stand together, and little is padded.
"""

from collections.abc import Sequence


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
