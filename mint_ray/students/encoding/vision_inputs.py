"""Vision inputs of prompts: a processor's tensors beside token ids, batched for the model.

Models differ: pixels come with a dimension for the prompt or without one, some models want a value
per token too, some give image tokens positions in three dimensions. These cases are told apart by
names and shapes of tensors, so that any `AutoModelForImageTextToText` may work. Whether prompts can
be shared is tried afterwards (`logprobs.layout_check`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mint_ray.students.encoding.prompt import VisionInputs

_CROSS_ATTENTION = "cross_attention_mask"
_ROPE_INPUTS = ("mm_token_type_ids", "image_grid_thw")


class CannotShare(RuntimeError):  # noqa: N818 - a property of the model, not a failure
    """The model cannot compute a prompt with images once for several completions."""


def image_inputs(vision_inputs: Sequence[VisionInputs | None], base: Any) -> dict[str, Tensor]:
    """Join the vision inputs of several prompts, in their order, on the model's device.

    Values per token are left out: see `token_inputs`. Images of different sizes are padded with
    zeros, which models that take images of several sizes in one tensor recognise as padding.

    Args:
        vision_inputs: of each prompt, None for a prompt without images.
        base: Hugging Face model; gives device and precision.

    Returns:
        Keyword arguments of the model; empty where no prompt has images.
    """
    shown = [item.inputs for item in vision_inputs if item is not None]
    if not shown:
        return {}
    parameter = next(base.parameters())
    joined = {}
    for name in shown[0]:
        if _is_per_token(name):
            continue
        parts = [inputs[name] for inputs in shown]
        value = torch.cat(_padded_alike(parts, 1)).to(parameter.device)
        joined[name] = value.to(parameter.dtype) if value.is_floating_point() else value
    return joined


def token_inputs(
    vision_inputs: Sequence[VisionInputs | None], lengths: Sequence[int]
) -> dict[str, Tensor]:
    """Join the values per token of several sequences, each a prompt with an answer behind it.

    An answer's tokens are text, and see the same images as the prompt's last token.

    Args:
        vision_inputs: of each sequence's prompt.
        lengths: tokens of each sequence.

    Returns:
        Keyword arguments of the model; empty where a prompt has no images.
    """
    if not vision_inputs or any(item is None for item in vision_inputs):
        return {}
    shown = [item.inputs for item in vision_inputs if item is not None]
    width = max(lengths)
    joined = {}
    for name in filter(_is_per_token, shown[0]):
        parts = []
        for value in (inputs[name] for inputs in shown):
            last = value[:, -1:] if name == _CROSS_ATTENTION else torch.zeros_like(value[:, -1:])
            tail = last.expand(-1, width - value.shape[1], *value.shape[2:])
            parts.append(torch.cat([value, tail], dim=1))
        joined[name] = torch.cat(_padded_alike(parts, 1))
    return joined


def check_shareable(vision_inputs: Sequence[VisionInputs | None]) -> None:
    """Refuse models that look at images elsewhere than in the prompt's tokens.

    Raises:
        CannotShare: the model has cross-attention layers, whose mask is per token of one sequence.
    """
    if any(item is not None and _CROSS_ATTENTION in item.inputs for item in vision_inputs):
        raise CannotShare("the model sees images through cross-attention, not as prompt tokens")


def can_stand_together(vision_inputs: Sequence[VisionInputs | None]) -> bool:
    """Return whether prompts may be computed in one batch without changing one another.

    In Mllama, tokens before an image look at padding images too. So prompts with different numbers
    of images would change one another.
    """
    masks = [item.inputs.get(_CROSS_ATTENTION) for item in vision_inputs if item is not None]
    return len({mask.shape[2:] for mask in masks if mask is not None}) <= 1


def prompt_positions(
    base: Any, prompt: Sequence[int], vision_inputs: VisionInputs | None
) -> Tensor | None:
    """Return the (3, P) positions of a prompt whose image tokens stand in a grid, else None.

    The next token's position is the largest of them plus one. Source: M-RoPE of Qwen2-VL,
    arXiv 2409.12191.
    """
    rope_index = getattr(base.base_model, "get_rope_index", None)
    if rope_index is None or vision_inputs is None:
        return None
    device = next(base.parameters()).device
    ids = torch.tensor([prompt], device=device)
    tensors = vision_inputs.inputs
    named = {name: tensors[name] for name in _ROPE_INPUTS if name in tensors}
    arguments = {name: value.to(device) for name, value in named.items()}
    positions: Tensor = rope_index(ids, **arguments)[0]
    return positions[:, 0]


def _is_per_token(name: str) -> bool:
    return name == _CROSS_ATTENTION or name.endswith("token_type_ids")


def _padded_alike(parts: Sequence[Tensor], fixed: int) -> list[Tensor]:
    """Pad tensors with zeros to one shape, at the end of each dimension but the first `fixed`."""
    if len({part.shape[fixed:] for part in parts}) == 1:
        return list(parts)
    sizes = [max(part.shape[d] for part in parts) for d in range(parts[0].ndim)]
    padded = []
    for part in parts:
        missing = [0 if d < fixed else sizes[d] - part.shape[d] for d in range(part.ndim)]
        pairs = [amount for size in reversed(missing) for amount in (0, size)]
        padded.append(F.pad(part, pairs))
    return padded
