"""A growing cache holds what transformers' own holds."""

import torch
from torch import Tensor
from transformers import DynamicCache

from mint_ray.students.ranking.growing_cache import LEAST_ROOM, growing_cache


def states(tokens: int, seed: int) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(2, 2, 3, tokens, 4, generator=torch.Generator().manual_seed(seed))
    return drawn[0], drawn[1]


def test_it_holds_what_was_appended_and_not_cropped() -> None:
    first = [states(5, layer) for layer in range(2)]
    ours, theirs = growing_cache(first), DynamicCache(first)
    for step, tokens in enumerate((1, 7, LEAST_ROOM, 2, 3 * LEAST_ROOM)):
        for layer in range(2):
            new = states(tokens, 10 * step + layer)
            kept, expected = ours.update(*new, layer), theirs.update(*new, layer)
            assert all(map(torch.equal, kept, expected))
        if step % 2:
            ours.crop(-2)
            theirs.crop(-2)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_appending_a_few_tokens_copies_no_others() -> None:
    cache = growing_cache([states(5, 0)])
    before, _ = cache.update(*states(1, 1), 0)
    after, _ = cache.update(*states(1, 2), 0)
    assert before.data_ptr() == after.data_ptr()
