"""Attention over examples of unequal lengths that stand in one line of tokens, without padding.

All other layers of a model compute tokens one by one, so that padding would only cost them time.
Attention alone needs the examples apart, and spreads the line over a grid of one row an example.
Its backward pass multiplies whole matrices, which a CPU does faster than SDPA's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

VARLEN = "varlen"
"""Name under which transformers knows this attention. Without a `Line` it is SDPA."""


@dataclass(frozen=True)
class Line:
    """The places of T tokens in a grid of R rows (one for each example) and L columns.

    `places` (T,) are flat indices (row * L + column) of the tokens. `numbers` (R * L,) are the
    tokens' numbers in the line by place, T for places of padding.
    """

    rows: int
    places: Tensor
    numbers: Tensor

    @classmethod
    def of(cls, filled: Tensor) -> "Line":
        """Make the line of the places that are filled, given as booleans (R, L)."""
        places = filled.reshape(-1).nonzero().squeeze(1)
        numbers = torch.full((filled.numel(),), len(places), device=filled.device)
        numbers[places] = torch.arange(len(places), device=filled.device)
        return cls(len(filled), places, numbers)

    def spread(self, tokens: Tensor) -> Tensor:
        """Return tokens (T, ...) as a grid (R, L, ...) with zeros as padding."""
        grid = tokens.new_zeros(len(self.numbers), *tokens.shape[1:])
        filled = grid.index_copy(0, self.places, tokens)
        return torch.unflatten(filled, 0, (self.rows, -1))

    def collect(self, grid: Tensor) -> Tensor:
        """Return the tokens (T, ...) of a grid (R, L, ...).

        They are copied by number, and padding to a last one that is left out: the gradient of a
        selection by `places` would be added up token by token, which is slow.
        """
        total = len(self.places)
        tokens = grid.new_zeros(total + 1, *grid.shape[2:])
        return tokens.index_copy(0, self.numbers, grid.flatten(0, 1))[:total]


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    line: Line | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend within each example of a line; see `AttentionInterface` of transformers.

    Args:
        module: attention layer of the model.
        query: (1, H, T, D).
        key, value: (1, K, P + T, D): P tokens before all examples, then the line. H is a multiple
            of K.
        attention_mask: (R, 1, L, P + L), to be added to the scores.
        dropout, scaling: of the layer.
        line: places of the T tokens; None for ordinary SDPA.
        others: further arguments of SDPA.

    Returns:
        The output (1, T, H, D), and None for the weights.
    """
    if line is None or attention_mask is None:
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )
        return result
    prefix = key.shape[2] - query.shape[2]
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling

    def with_prefix(states: Tensor) -> Tensor:
        own = line.spread(states[0, :, prefix:].transpose(0, 1)).transpose(1, 2)
        before = states[:, :, :prefix].expand(line.rows, -1, -1, -1)
        return torch.cat([before, own], dim=2)

    queries = line.spread(query[0].transpose(0, 1)).transpose(1, 2)
    keys, values = with_prefix(key), with_prefix(value)
    if dropout:
        out = nn.functional.scaled_dot_product_attention(
            queries, keys, values, attention_mask, dropout, scale=factor, enable_gqa=True
        )
    else:
        attend = cast(Callable[..., Tensor], _Attention.apply)
        out = attend(queries, keys, values, attention_mask, factor)
    return line.collect(out.transpose(1, 2))[None], None


class _Attention(torch.autograd.Function):
    """SDPA whose backward pass computes the weights again, as one matrix for each example.

    Shapes are those of SDPA: queries (R, H, L, D), keys and values (R, K, S, D), mask (R, 1, L, S).
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, factor: float
    ) -> Tensor:
        out = nn.functional.scaled_dot_product_attention(
            queries, keys, values, mask, scale=factor, enable_gqa=True
        )
        ctx.save_for_backward(queries, keys, values, mask, out)
        ctx.factor = factor
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, mask, out = ctx.saved_tensors
        shared = keys.shape[1]
        group = queries.shape[1] // shared

        def below(heads: Tensor) -> Tensor:
            """Stack the heads that share a key: (R, H, L, N) as (R, K, H / K * L, N)."""
            return torch.unflatten(heads, 1, (shared, group)).flatten(2, 3)

        scaled, gradient = below(queries * ctx.factor), below(gradients[0])
        scores = torch.unflatten(scaled @ keys.mT, 2, (group, -1)).add_(mask[:, :, None])
        weights = scores.softmax(-1).flatten(2, 3)
        of_values = weights.mT @ gradient
        along = (gradient * below(out)).sum(-1, keepdim=True)
        of_scores = (gradient @ values.mT).sub_(along).mul_(weights)
        of_queries = (of_scores @ keys).mul_(ctx.factor)
        of_queries = torch.unflatten(of_queries, 2, (group, -1)).flatten(1, 2)
        return of_queries, of_scores.mT @ scaled, of_values, None, None


AttentionInterface.register(VARLEN, varlen_attention)
AttentionMaskInterface.register(VARLEN, sdpa_mask)
