"""Beginnings that all prompts of a batch share, computed once as keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mint_ray.students.encoding.name_trie import common_prefix
from mint_ray.students.logprobs.examples import Example, Tokens

# A pass of its own for fewer tokens costs more than it saves.
LEAST_PREFIX = 16


@dataclass(frozen=True)
class Prefix:
    """The keys and values of the tokens that every prompt starts with, computed once.

    `layers` holds keys and values of (1, heads, tokens, head size) for each layer.
    """

    ids: Tokens
    layers: tuple[tuple[Tensor, Tensor], ...] = field(repr=False)

    def rows(self, count: int) -> list[tuple[Tensor, Tensor]]:
        """Return keys and values (count, heads, tokens, head size) of each layer."""
        return [(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in self.layers]


def compute_prefix(base: Any, ids: Sequence[int]) -> Prefix:
    """Run tokens without images through a model and keep their keys and values.

    Gradients flow back through the result, unless they are switched off around the call.

    Args:
        base: Hugging Face causal language model.
        ids: tokens that every prompt starts with.
    """
    cache = DynamicCache()
    device = next(base.parameters()).device
    base.base_model(
        input_ids=torch.tensor([list(ids)], device=device), past_key_values=cache, use_cache=True
    )
    return Prefix(tuple(ids), tuple((layer.keys, layer.values) for layer in cache.layers))


def shared_beginning(base: Any, examples: Sequence[Example]) -> Tokens:
    """Return the tokens that all prompts start with, where it pays to compute them once.

    The last token of a prompt is never among them, since it predicts the answers' first tokens.
    The result is empty for fewer than two examples, prompts with images, fewer than `LEAST_PREFIX`
    tokens, and under activation checkpointing, which transformers does without a cache.
    """
    recomputes = base.training and getattr(base, "is_activation_checkpointing", False)
    if len(examples) < 2 or recomputes or any(example.vision_inputs for example in examples):
        return ()
    # What the least and the greatest share, all between them share.
    first, last = min(e.prompt for e in examples), max(e.prompt for e in examples)
    length = min(common_prefix((first, last)), *(len(example.prompt) - 1 for example in examples))
    return first[:length] if length >= LEAST_PREFIX else ()
