"""Log-probabilities of tokens from hidden states, in chunks.

The tensor of all logits is not made at any time. Where the head is frozen, as under LoRA, the
gradient with respect to the hidden state is computed along with each chunk. It is linear in the
incoming gradient: d log p(t) / d h = -sum_v (p_v - [v = t]) W_v. So nothing of the vocabulary's
width is kept for the backward pass, and the head gets no gradient buffer.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mint_ray.common.devices import HALF

# Logits in a chunk: 64 MiB of float32 on a CPU, 512 MiB on a GPU.
CHUNK_LOGITS = {"cpu": 1 << 24, "cuda": 1 << 27}


def token_logps(hidden: Tensor, head: nn.Module, targets: Tensor) -> Tensor:
    """Return the log-probability of each target token, in nats.

    Args:
        hidden: (T, D) hidden states, each of the token before its target.
        head: the output embedding. A frozen `nn.Linear` gets its gradients in the forward pass;
            any other module (trainable, or wrapped in an adapter) is recomputed chunk by chunk in
            the backward pass.
        targets: (T,) token ids to predict.

    Returns:
        (T,) float32, or float64 where `hidden` is.
    """
    rows = _rows_per_chunk(head, hidden.device)
    if isinstance(head, nn.Linear) and not any(p.requires_grad for p in head.parameters()):
        with _gathered(head):
            logps: Tensor = _FrozenHead.apply(hidden, head.weight, head.bias, targets, rows)  # type: ignore[no-untyped-call]
        return logps
    pieces = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    return torch.cat([_recomputed(head, *piece, select_logps) for piece in pieces])


def token_and_mean_logps(hidden: Tensor, head: nn.Module, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return `token_logps`, and the mean log-probability of all tokens at the same positions.

    mean_v log p(v) = log p(t) + h (mean_v W_v - W_t) + mean_v b_v - b_t, so that a frozen
    `nn.Linear` needs nothing more of the vocabulary's width. Shapes are those of `token_logps`.
    """
    if isinstance(head, nn.Linear) and not any(p.requires_grad for p in head.parameters()):
        logps = token_logps(hidden, head, targets)
        with _gathered(head):
            weight, bias = head.weight, head.bias
            contrast = weight.mean(0, dtype=logps.dtype) - weight[targets].to(logps.dtype)
            offset = 0.0 if bias is None else bias.mean(dtype=logps.dtype) - bias[targets]
        return logps, logps + (hidden.to(logps.dtype) * contrast).sum(-1) + offset
    rows = _rows_per_chunk(head, hidden.device)
    pieces = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    both = torch.cat([_recomputed(head, *piece, _select_both) for piece in pieces], -1)
    return both[0], both[1]


def select_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Return each target's log-probability under logits (..., V), in float32 or wider."""
    wide = _wide(logits)
    return wide.gather(-1, targets[..., None]).squeeze(-1) - wide.logsumexp(-1)


def mean_logps(logits: Tensor) -> Tensor:
    """Return the mean log-probability of all tokens under logits (..., V), as (...)."""
    wide = _wide(logits)
    return wide.mean(-1) - wide.logsumexp(-1)


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in HALF else logits


def _select_both(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.stack([select_logps(logits, targets), mean_logps(logits)])


class _FrozenHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, rows: int
    ) -> Tensor:
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        logps = hidden.new_empty(len(hidden), dtype=wide)
        gradients = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for at in range(0, len(hidden), rows):
            part = slice(at, at + rows)
            logits = F.linear(hidden[part].to(weight.dtype), weight, bias).to(wide)
            norm = logits.logsumexp(-1, keepdim=True)
            logps[part] = (logits.gather(-1, targets[part, None]) - norm).squeeze(-1)
            if gradients is not None:
                # p - 1 before it is rounded: in bfloat16 a p near 1 would leave noise instead.
                errors = logits.sub_(norm).exp_()
                errors[torch.arange(len(errors), device=errors.device), targets[part]] -= 1.0
                gradients[part] = -(errors.to(weight.dtype) @ weight).to(gradients.dtype)
        if gradients is not None:
            ctx.save_for_backward(gradients)
        return logps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradients,) = ctx.saved_tensors
        return incoming[:, None].to(gradients.dtype) * gradients, None, None, None, None


def _recomputed(
    head: nn.Module, hidden: Tensor, targets: Tensor, select: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    def compute(states: Tensor) -> Tensor:
        return select(head(states), targets)

    logps: Tensor = checkpoint(compute, hidden, use_reentrant=False)
    return logps


def _rows_per_chunk(head: nn.Module, device: torch.device) -> int:
    width = getattr(head, "out_features", None) or 1 << 17
    return max(1, CHUNK_LOGITS.get(device.type, CHUNK_LOGITS["cpu"]) // int(width))


def _gathered(head: nn.Linear) -> AbstractContextManager[Any]:
    """Gather the head's weight where ZeRO-3 keeps it in pieces.

    DeepSpeed's hooks, which would gather it, run in a module's `forward`; `F.linear` skips them.
    """
    # Small parameters stay whole, and a parameter that a layer is using cannot be gathered twice.
    absent = [p for p in head.parameters() if not _is_whole(p)]
    if not absent:
        return nullcontext()
    from deepspeed.runtime.zero import GatheredParameters

    context: AbstractContextManager[Any] = GatheredParameters(absent)
    return context


def _is_whole(parameter: nn.Parameter) -> bool:
    status = getattr(parameter, "ds_status", None)
    return status is None or status.name == "AVAILABLE"
