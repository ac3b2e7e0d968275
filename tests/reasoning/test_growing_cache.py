"""A cache with room holds what transformers' own holds, and seldom moves it."""

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, LlamaConfig, MistralConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from mint_ray.reasoning.growing_cache import ROOM, GrowingLayer, growing_cache

CONFIG = LlamaConfig(num_hidden_layers=2, hidden_size=8, num_attention_heads=2)


def states(tokens: int, rows: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, 2, tokens, 4), torch.randn(rows, 2, tokens, 4)


def both(cache: DynamicCache, own: DynamicCache, tokens: int, rows: int = 3) -> None:
    """Add the same tokens to both, and compare what they return."""
    for layer in range(2):
        keys, values = states(tokens, rows)
        found = cache.update(keys, values, layer)
        expected = own.update(keys, values, layer)
        assert all(map(torch.equal, found, expected))
    assert cache.get_seq_length() == own.get_seq_length()


def test_it_holds_what_transformers_own_holds() -> None:
    cache, own = growing_cache(CONFIG), DynamicCache(config=CONFIG)
    for tokens in (5, 1, 1, ROOM, 1):
        both(cache, own, tokens)
    for each in (cache, own):
        each.crop(-ROOM)
    both(cache, own, 2)
    for each in (cache, own):
        each.batch_select_indices(torch.tensor([2, 0]))
    both(cache, own, 1, rows=2)
    both(cache, own, 1, rows=2)
    for each in (cache, own):  # fewer rows, which begin where the room does
        for layer in each.layers:
            layer.keys, layer.values = layer.keys[:1], layer.values[:1]
    both(cache, own, 1, rows=1)
    for each in (cache, own):
        each.reset()
    both(cache, own, 4)


def test_keys_stay_where_they_are_while_there_is_room() -> None:
    layer = GrowingLayer()
    keys, _ = layer.update(*states(7))
    places = {layer.update(*states(1))[0].data_ptr() for _ in range(ROOM)}
    assert places == {keys.data_ptr()}
    assert layer.update(*states(1))[0].data_ptr() != keys.data_ptr()


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (CONFIG, GrowingLayer),
        (MistralConfig(num_hidden_layers=2, sliding_window=16), DynamicSlidingWindowLayer),
    ],
)
def test_layers_of_another_kind_stay(config: LlamaConfig, kind: type[DynamicLayer]) -> None:
    assert {type(layer) for layer in growing_cache(config).layers} == {kind}
