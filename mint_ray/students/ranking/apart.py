"""Products and attention that round a note's numbers alike, whatever notes stand beside it.

In half precision a row of a product depends on how many rows the product has, because the kernels
for few and for many rows add in another order. So does attention on how many columns it spans. A
note ranked beside others would then get slightly other probabilities, and sometimes another order,
than alone. `NotesApart` computes products in blocks of one size, and attention note by note.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

ROWS = 64
"""Rows of a block. A batch of four notes with sixteen partial names each fills one."""


class NotesApart(TorchFunctionMode):
    """Context in which the linear layers and the attention of a language model keep notes apart.

    Convolutions, attention of other shapes such as an image encoder's, and attention of a single
    query, for which models regroup their heads, are left as they are.

    Args:
        visible: (B, 1, L, S) what each of L queries sees of S columns; None if the context has
            linear layers only.
        queries: of each of the B notes, how many of its queries count; those after them are filling
            and get zeros.
    """

    def __init__(self, visible: Tensor | None = None, queries: Sequence[int] = ()) -> None:
        super().__init__()
        self._shape = None if visible is None else visible.shape
        self._notes: list[tuple[int, int, Tensor, Tensor]] = []
        if visible is None:
            return
        for note, count in enumerate(queries):
            if count:
                mask = visible[note, :, :count]
                columns = mask.any(dim=1)[0].nonzero().squeeze(1)
                self._notes.append((note, count, columns, mask[None, ..., columns]))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute linear layers and attention in the way of this context, all else as it is."""
        if func is F.linear:
            return _linear(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        if attn_mask is None or attn_mask.shape != self._shape or len(attn_mask[0, 0]) < 2:
            return F.scaled_dot_product_attention(query, key, value, attn_mask, **more)
        out = query.new_zeros(*query.shape[:-1], value.shape[-1])
        for note, count, columns, mask in self._notes:
            out[note, :, :count] = F.scaled_dot_product_attention(
                query[note, None, :, :count],
                key[note, None].index_select(2, columns),
                value[note, None].index_select(2, columns),
                mask,
                **more,
            )[0]
        return out


def _linear(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the linear layer of states (..., K), `ROWS` rows at a time."""
    rows = states.reshape(-1, states.shape[-1])
    padded = F.pad(rows, (0, 0, 0, -len(rows) % ROWS))
    out = torch.cat([F.linear(block, weight, bias) for block in torch.split(padded, ROWS)])
    return out[: len(rows)].reshape(*states.shape[:-1], -1)
