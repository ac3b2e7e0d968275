"""Key-value cache with room for further tokens, for long conversations of short replies."""

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 256
"""Columns that are reserved at a time."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """Layer of a cache whose keys and values are the beginnings of larger tensors.

    transformers' own layer copies all keys and values for every token: of eight conversations of
    a thousand tokens that was more than a third of the time.
    """

    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._rooms: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return the keys and values (B, heads, columns, size) with those of the new tokens."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        known, new = self.get_seq_length(), key_states.shape[-2]
        if self._rooms is None or not self._fits(known + new):
            self._rooms = (
                _room(self.keys, key_states, known + new + ROOM),
                _room(self.values, value_states, known + new + ROOM),
            )
        keys, values = self._rooms
        keys[..., known : known + new, :] = key_states
        values[..., known : known + new, :] = value_states
        self.keys, self.values = keys[..., : known + new, :], values[..., : known + new, :]
        return self.keys, self.values

    def reset(self) -> None:
        """Forget all tokens."""
        self._rooms = None
        super().reset()

    def _fits(self, columns: int) -> bool:
        """Return whether the keys still are the beginning of their room, which is large enough.

        A choice of rows makes new tensors; a crop does not.
        """
        assert self._rooms is not None
        room = self._rooms[0]
        return (
            self.keys.data_ptr() == room.data_ptr()
            and self.keys.shape[0] == room.shape[0]
            and columns <= room.shape[-2]
        )


def _room(known: Tensor, new: Tensor, columns: int) -> Tensor:
    """Return a tensor of so many columns that begins with those that are known."""
    room = new.new_empty((*new.shape[:-2], columns, new.shape[-1]))
    if known.numel():
        room[..., : known.shape[-2], :] = known
    return room


def growing_cache(config: Any) -> DynamicCache:
    """Return an empty cache for a model; layers with a sliding window or a state are its own.

    Args:
        config: of the model.
    """
    cache = DynamicCache(config=config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache
