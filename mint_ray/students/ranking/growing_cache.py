"""Key-value cache with room for more tokens, so that appending a few does not copy all others."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

LEAST_ROOM = 256
"""Tokens that fit in behind the first ones."""


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a layer: views of blocks that are longer. No gradient flows through it."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[Tensor] = []

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, K, N, D); return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        kept = self.get_seq_length()
        total = kept + key_states.shape[-2]
        if not self._blocks or self._blocks[0].shape[-2] < total:
            room = total + max(LEAST_ROOM, total // 2)
            old = [block[..., :kept, :] for block in self._blocks]
            self._blocks = [_block(new, room) for new in (key_states, value_states)]
            for block, states in zip(self._blocks, old, strict=False):  # none at first
                block[..., :kept, :] = states
        for block, states in zip(self._blocks, (key_states, value_states), strict=True):
            block[..., kept:total, :] = states
        self.keys, self.values = (block[..., :total, :] for block in self._blocks)
        return self.keys, self.values


def growing_cache(layers: Iterable[tuple[Tensor, Tensor]] = ()) -> Cache:
    """Return a cache that begins with the keys and values (B, K, N, D) of each layer, if any.

    All layers keep all keys: without a model's config none slides out of a window.
    """
    cache = Cache(layer_class_to_replicate=_GrowingLayer)
    for index, (keys, values) in enumerate(layers):
        cache.update(keys, values, index)
    return cache


def _block(states: Tensor, room: int) -> Tensor:
    return states.new_empty(*states.shape[:-2], room, states.shape[-1])
