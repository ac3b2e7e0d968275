"""Encoding part by part, which bounds the memory of a forward pass."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mint_ray.common.arrays import Floats32

AT_ONCE = 16
"""Images or texts per forward pass."""


def in_parts(
    encode: Callable[[Sequence[Any]], Tensor], items: Sequence[Any], at_once: int = AT_ONCE
) -> Floats32:
    """Encode the items part by part, without gradients.

    Args:
        encode: returns (m, width) features of up to `at_once` items.
        items: images or texts, at least one.
        at_once: items per forward pass.

    Returns:
        (n, width).

    Raises:
        ValueError: there is no item.
    """
    if not len(items):
        raise ValueError("expected at least one item to encode, found none")
    with torch.inference_mode():
        parts = [encode(items[i : i + at_once]).float() for i in range(0, len(items), at_once)]
        return torch.cat(parts).cpu().numpy()
