"""Products and attention that round a note's numbers alike, whatever notes stand beside it.

In half precision a row of a product depends on how many rows the product has, because the kernels
for few and for many rows add in another order. So does attention on how many columns it spans. A
note ranked beside others would then get slightly other probabilities, and sometimes another order,
than alone. `NotesApart` computes products in blocks of one size, and attention note by note.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from mint_ray.students.logprobs.layouts import attention_of
from mint_ray.students.ranking.packed_weights import PackedWeights

ROWS = 64
"""Rows of a block. A batch of four notes with sixteen partial names each fills one."""
APART = "notes_apart"
"""Name under which transformers knows this attention. Outside of `NotesApart` it is SDPA."""


class NotesApart(TorchFunctionMode):
    """Context in which the linear layers and the attention of a language model keep notes apart.

    Convolutions, and attention of other shapes such as an image encoder's, are left as they are.

    Args:
        base: Hugging Face model whose attention it is.
        visible: (B, 1, L, S) what each of L queries sees of S columns; None if the context has
            linear layers only.
        queries: of each of the B notes, how many of its queries count; those after them are filling
            and get zeros.
        weights: packed for `ROWS` rows, if they are.
    """

    def __init__(
        self,
        base: Any,
        visible: Tensor | None = None,
        queries: Sequence[int] = (),
        weights: PackedWeights | None = None,
    ) -> None:
        super().__init__()
        self._product = F.linear if weights is None else weights.linear
        self._base = base
        self._shape = None if visible is None else visible.shape
        self._before = attention_of(base)
        self._token: Token[NotesApart | None] | None = None
        self._notes: list[tuple[int, int, Tensor]] = []  # number, queries, columns that it sees
        self._visible: list[Tensor] = []  # (1, queries, columns) of each
        self._masks: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        if visible is None:
            return
        for note, count in enumerate(queries):
            if count:
                mask = visible[note, :, :count]
                columns = mask.any(dim=1)[0].nonzero().squeeze(1)
                self._notes.append((note, count, columns))
                self._visible.append(mask[..., columns])

    def __enter__(self) -> "NotesApart":
        """Begin the context: the model's attention is `APART` within it."""
        super().__enter__()  # type: ignore[no-untyped-call]
        if self._shape is not None:
            self._base.set_attn_implementation(APART)
            self._token = _current.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        """End the context, and give the model its attention back."""
        if self._token is not None:
            _current.reset(self._token)
            self._base.set_attn_implementation(self._before)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute linear layers in the way of this context, all else as it is."""
        if func is F.linear:
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the linear layer of states (..., K), `ROWS` rows at a time."""
        rows = states.reshape(-1, states.shape[-1])
        padded = F.pad(rows, (0, 0, 0, -len(rows) % ROWS)) if len(rows) % ROWS else rows
        blocks = [self._product(block, weight, bias) for block in torch.split(padded, ROWS)]
        out = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return out[: len(rows)].reshape(*states.shape[:-1], -1)

    def covers(self, mask: Tensor | None) -> bool:
        """Return whether an attention mask is the one of this context."""
        return mask is not None and mask.shape == self._shape

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Return the attention (B, L, H, D) of each note's queries to the columns that it sees.

        Args:
            query: (B, H, L, D).
            key, value: (B, K, S, D); H is a multiple of K.
            scaling: of the layer.
        """
        rows, heads, length, size = query.shape
        shared = key.shape[1]
        out = query.new_zeros(rows, length, heads, value.shape[-1])
        # Heads that share a key are further queries to it, so that no key is copied for them.
        masks = self._masks_of(heads // shared, query.dtype)
        for (note, count, columns), mask in zip(self._notes, masks, strict=True):
            below = query[note, :, :count].reshape(1, shared, -1, size)
            seen = F.scaled_dot_product_attention(
                below,
                key[note].index_select(1, columns)[None],
                value[note].index_select(1, columns)[None],
                mask,
                scale=scaling,
            )
            out[note, :count] = seen.reshape(heads, count, -1).transpose(0, 1)
        return out

    def _masks_of(self, group: int, dtype: torch.dtype) -> list[Tensor]:
        """Return each note's mask, to be added to scores, with `group` heads to a key."""
        key = group, dtype
        if key not in self._masks:
            self._masks[key] = [
                torch.zeros_like(seen, dtype=dtype)
                .masked_fill_(~seen, -torch.inf)
                .repeat(1, group, 1)[None]
                for seen in self._visible
            ]
        return self._masks[key]


_current: ContextVar[NotesApart | None] = ContextVar("notes_apart", default=None)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend as the present `NotesApart` says; see `AttentionInterface` of transformers."""
    notes = _current.get()
    if notes is not None and notes.covers(attention_mask):
        return notes.attend(query, key, value, scaling), None
    result: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout, scaling, **others
    )
    return result


AttentionInterface.register(APART, _attention)
AttentionMaskInterface.register(APART, sdpa_mask)
